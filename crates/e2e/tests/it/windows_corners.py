"""Writes an archive of what Windows can hold and a Linux host cannot: the limits of names, times,
attributes, streams, links and descriptors.

    windows_corners.py ARCHIVE FACTS
"""
import sys

from windows_archive import TIMES, Archive, D, F, H, L

archive = Archive(sys.argv[1])
add = archive.add

add("Files", D, 0x10, number=900)

# Names of 255 units of UTF-16: of one unit, of two, and mixed with combining marks and right-to-left.
add("Files/names", D, 0x10)
for name in [
    "a",
    "12345678.123",
    "CON",
    "aux.txt",
    "n" * 255,
    "\u754c" * 255,
    "\U0001F600" * 127 + "x",
    ("e\u0301\u05e9\u0645" * 64)[:255],
    # Those that look like their neighbours to other tables of letter case, but not to that of NTFS.
    "\u00b5", "\u03bc", "\u017f", "s", "\u03d0", "\u03b2", "\u01c5", "\u1e9b",
]:
    add(f"Files/names/{name}", F, 0x20, name.encode())

# Every attribute that can be set, alone and together, of files and of folders.
bits = [0x1, 0x2, 0x4, 0x20, 0x80, 0x100, 0x1000, 0x2000, 0x20000, 0x80000, 0x100000]
add("Files/attributes", D, 0x10)
for bit in bits + [sum(bits)]:
    add(f"Files/attributes/file {bit:x}", F, bit, b"content")
    add(f"Files/attributes/folder {bit:x}", D, bit | 0x10)
add("Files/attributes/compressed", F, 0x820, b"plain" * 1000)

# Times at the ends of what is counted: the first and last that Windows knows, and of Unix's.
add("Files/times", D, 0x10)
for name, seconds in {
    "1601": "-11644473600.0000000",
    "1601 and a tick": "-11644473599.9999999",
    "before 1970": "-0.0000001",
    "1970": "0.0000000",
    "2038": "2147483648.0000001",
    "2106": "4294967296.9999999",
    "9999": "253402300799.9999999",
}.items():
    add(f"Files/times/{name}", F, 0x20, b"", times={key: seconds for key in TIMES})

# 300 names of one file, 40 streams of another, of a folder, and of a link.
add("Files/links", D, 0x10)
add("Files/links/first", F, 0x20, b"first" * 300)
for number in range(299):
    add(f"Files/links/a name of some length {number}", H, 0x20, link="Files/links/first")
add("Files/streams", F, 0x20, b"data" * 150)
for number in range(40):
    size = 1 << 20 if number == 7 else number * 40
    add(f"Files/streams:stream {number}", F, None, bytes([number]) * size)
add("Files/folder", D, 0x10)
for number in range(20):
    add(f"Files/folder:s{number}", F, None, b"small" * number)

# Junctions and links.
add("Files/junction", L, 0x410, link="C:\\folder", **{"MSWINDOWS.mountpoint": "1"})
add("Files/to folder", L, 0x410, link="folder")
add("Files/to file", L, 0x420, link="streams")
add("Files/dangling", L, 0x420, link="nowhere\\at\\all")
add("Files/absolute", L, 0x420, link="C:\\streams")
add("Files/itself", L, 0x420, link="itself")

# More descriptors than the first block of $SDS holds.
add("Files/descriptors", D, 0x10)
for number in range(1500):
    add(f"Files/descriptors/{number}", F, 0x20, b"", number=2000 + number)

# 200 levels.
path = "Files/deep"
for level in range(200):
    add(path, D, 0x10)
    path += f"/level {level}"
add(path, F, 0x20, b"bottom")
archive.close(sys.argv[2])
