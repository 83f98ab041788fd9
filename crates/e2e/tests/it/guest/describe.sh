# describe FOLDER: a line for each file below a folder, sorted. Folders with their time; files with
# size, time, number of names and digest; links with what they lead to, where that can be read. Of
# files above 256 MiB the digest is of three places.
describe() (
    cd "$1" || exit 1
    {
        find . -mindepth 1 -type d -exec stat -c 'folder %Y %n' {} +
        find . -type f -exec stat -c 'file %s %Y %h %n' {} +
        find . -type f -size -262144k -exec md5sum {} +
        find . -type f -size +262143k | while read -r file; do
            last=$(($(stat -c %s "$file") / 65536 - 1))
            for at in 0 16384 $last; do
                digest=$(dd if="$file" bs=65536 skip=$at count=2 2>/dev/null | md5sum)
                echo "${digest%% *} at $at $file"
            done
        done
        find . -type l -exec printf 'islink %s\n' {} +
        # Where a target cannot be read, there is no line of it.
        find . -type l -exec stat -c 'link %N' {} + 2>/dev/null | grep -v '^link $'
    } | sort
)
