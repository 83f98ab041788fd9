"""Writes a Windows base layer of a container image, as hcsshim writes them: PAX records of Windows,
the volume in `Files`, registry hives and a helper machine's files beside it."""
import base64, io, struct, sys, tarfile

def descriptor(number):
    sid = bytes([1, 1, 0, 0, 0, 0, 0, 5]) + struct.pack("<I", number)
    group = bytes([1, 2, 0, 0, 0, 0, 0, 5]) + struct.pack("<II", 32, 544)
    acl = struct.pack("<BBHHH", 2, 0, 28, 1, 0) + struct.pack("<BBHI", 0, 0, 20, 0x1F01FF) + sid
    head = struct.pack("<BBHIIII", 1, 0, 0x8004, 48, 64, 0, 20)
    return base64.b64encode(head + acl + group + group).decode()

archive = tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT)

def add(name, kind, attributes, data=b"", link="", number=1000, **more):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size, member.mtime = kind, link, len(data), 1600000000
    if attributes is not None:
        member.pax_headers = {
            "mtime": "1600000000.1234567",
            "atime": "1600000001.5",
            "ctime": "1600000002.0000001",
            "LIBARCHIVE.creationtime": "1500000000.7654321",
            "MSWINDOWS.fileattr": str(attributes),
            "MSWINDOWS.rawsd": descriptor(number),
        } | more
    archive.addfile(member, io.BytesIO(data))

F, D, L, H = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
add("Files", D, 0x16, number=900)
add("Files/Windows", D, 0x10)
add("Files/Windows/System32", D, 0x12, number=1001)
for number in range(300):
    name = f"Files/Windows/System32/library{number}.dll"
    add(name, F, 0x20 | number & 7, bytes([number % 251]) * (number * 97), number=1000 + number % 40)
    if number % 3 == 0:
        add(name + ":Zone.Identifier", F, None, b"[ZoneTransfer]\r\nZoneId=3\r\n")
    if number % 7 == 0:
        add(name + ":big", F, None, b"s" * 20000)
    if number % 5 == 0:
        add(f"Files/Windows/link{number}.dll", H, 0x20, link=name)
add("Files/no archive bit", F, 0x80, b"plain")
add("Files/Documents and Settings", L, 0x416, link="C:\\Users", **{"MSWINDOWS.mountpoint": "1"})
add("Files/relative", L, 0x420, link="Windows\\System32\\library1.dll")
add("Files/Users", D, 0x11)
add("Files/" + "n" * 200 + "/\u00fc\U0001F600", F, 0x20, b"long")
add("Hives", D, 0x10)
add("Hives/SAM_Base", F, 0x20, b"regf")
add("UtilityVM", D, 0x10)
add("UtilityVM/Files/x", F, 0x20, b"x")
archive.close()
