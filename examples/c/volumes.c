/* Makes a volume, lists what there is, looks at one, takes a snapshot and removes all of it again.
 *
 *     cc volumes.c $(pkg-config --cflags --libs containerv_volume) -o volumes
 *     ./volumes STORE
 */
#include <stdio.h>

#include <containerv_volume.h>

static int failed(const char *what)
{
    fprintf(stderr, "cannot %s: %s\n", what, containerv_volume_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    struct containerv_volume_info *volumes;
    struct containerv_volume_info info;
    int count, index;

    if (argc != 2) {
        fprintf(stderr, "usage: %s STORE\n", argv[0]);
        return 2;
    }
    printf("containerv_volume %s\n", containerv_volume_version());
    if (containerv_volume_set_root(argv[1]) != 0) {
        return failed("use that store");
    }
    if (containerv_volume_create_fs("data", 64, "NTFS") != 0) {
        return failed("make the volume");
    }
    if (containerv_volume_list(&volumes, &count) != 0) {
        return failed("list the volumes");
    }
    for (index = 0; index < count; index++) {
        printf("%s: %llu MiB of %s in %s\n", volumes[index].name,
               (unsigned long long)volumes[index].size_mb, volumes[index].filesystem,
               volumes[index].path);
    }
    containerv_volume_list_free(volumes);

    if (containerv_volume_snapshot_create(NULL, "data", "before") != 0) {
        return failed("take a snapshot");
    }
    if (containerv_volume_inspect("data", &info) != 0) {
        return failed("look at the volume");
    }
    printf("%s is %s and takes %llu bytes\n", info.name, info.state,
           (unsigned long long)info.used_bytes);
    containerv_volume_info_free(&info);

    if (containerv_volume_delete("data") != 0) {
        return failed("remove the volume");
    }
    /* Closes the store. A program that ends now anyway can leave this out, but for checkers of memory. */
    if (containerv_volume_set_root(NULL) != 0) {
        return failed("close the store");
    }
    return 0;
}
