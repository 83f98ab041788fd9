"""Writes a Windows base layer of a container image, as hcsshim writes them: PAX records of Windows,
the volume in `Files`, registry hives and a helper machine's files beside it.

    windows_layer.py ARCHIVE [FACTS [COUNT]]     COUNT libraries, 300 without
"""
import sys

from windows_archive import TIMES, Archive, D, F, H, L

archive = Archive(sys.argv[1])
add = archive.add
count = int(sys.argv[3]) if len(sys.argv) > 3 else 300

add("Files", D, 0x16, number=900)
add("Files/Windows", D, 0x10)
add("Files/Windows/System32", D, 0x12, number=1001)
for number in range(count):
    name = f"Files/Windows/System32/library{number}.dll"
    size = number * 97 % 100_000
    add(name, F, 0x20 | number & 7, bytes([number % 251]) * size, number=1000 + number % 40)
    if number % 3 == 0:
        add(name + ":Zone.Identifier", F, None, b"[ZoneTransfer]\r\nZoneId=3\r\n")
    if number % 7 == 0:
        add(name + ":big", F, None, b"s" * 20000)
    if number % 5 == 0:
        add(f"Files/Windows/link{number}.dll", H, 0x20, link=name)
add("Files/no archive bit", F, 0x80, b"plain")
junction = {"MSWINDOWS.mountpoint": "1"}
add("Files/Documents and Settings", L, 0x416, link="C:\\Users", **junction)
add("Files/relative", L, 0x420, link="Windows\\System32\\library1.dll")
add("Files/Users", D, 0x11)
# The folder above this one is missing.
add("Files/" + "n" * 200 + "/\u00fc\U0001F600", F, 0x20, b"long")
# What is said of a folder last counts.
late = {key: str(int(float(time)) + 7) + ".0000007" for key, time in TIMES.items()}
add("Files/Windows", D, 0x12, number=902, times=late)
add("Hives", D, 0x10)
add("Hives/SAM_Base", F, 0x20, b"regf")
add("UtilityVM", D, 0x10)
add("UtilityVM/Files/x", F, 0x20, b"x")
archive.close(*sys.argv[2:3])
