"""An archive as hcsshim writes Windows layers (PAX records of Windows), and beside it what each file of
the volume that comes of it must be, in the form of ntfs_facts.py."""
import base64
import hashlib
import io
import json
import struct
import tarfile

F, D, L, H = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
# Ticks of 100 ns from 1601 to 1970.
EPOCH = 116444736000000000
# What ntfs_facts.py leaves out, and the one that cvol stores plain.
ATTRIBUTES = 0xFFFFFFFF & ~(0x10 | 0x80 | 0x200 | 0x400 | 0x800 | 0x10000000)


def md5(data):
    return hashlib.md5(data).hexdigest()


def descriptor(number):
    """One in which an account of this number may do everything."""
    sid = bytes([1, 1, 0, 0, 0, 0, 0, 5]) + struct.pack("<I", number)
    group = bytes([1, 2, 0, 0, 0, 0, 0, 5]) + struct.pack("<II", 32, 544)
    acl = struct.pack("<BBHHH", 2, 0, 28, 1, 0) + struct.pack("<BBHI", 0, 0, 20, 0x1F01FF) + sid
    return struct.pack("<BBHIIII", 1, 0, 0x8004, 48, 64, 0, 20) + acl + group + group


def reparse(target, is_mount_point):
    """The data of a link, as go-winio makes it."""
    printed = target.replace("/", "\\")
    absolute = printed[1:2] == ":"
    names = [("\\??\\" if absolute else "") + printed, printed]
    sizes = [len(name.encode("utf-16-le")) for name in names]
    data = struct.pack("<4H", 0, sizes[0], sizes[0] + 2, sizes[1])
    if not is_mount_point:
        data += struct.pack("<I", 0 if absolute else 1)
    data += b"".join((name + "\0").encode("utf-16-le") for name in names)
    return struct.pack("<IHH", 0xA0000003 if is_mount_point else 0xA000000C, len(data), 0) + data


def ticks(seconds):
    """Ticks since 1601 of a number of seconds with seven decimals, as text."""
    whole, _, part = seconds.partition(".")
    part = int((part + "0000000")[:7])
    return EPOCH + int(whole) * 10_000_000 + (-part if whole.startswith("-") else part)


TIMES = {
    "mtime": "1600000000.1234567",
    "atime": "1600000001.5",
    "ctime": "1600000002.0000001",
    "LIBARCHIVE.creationtime": "1500000000.7654321",
}


class Archive:
    def __init__(self, path):
        self.archive = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)
        self.facts = {}

    def add(self, name, kind, attributes, data=b"", link="", number=1000, times=TIMES, **more):
        """Adds a member; without attributes it is the stream of the one before."""
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size, member.mtime = kind, link, len(data), 0
        if attributes is not None:
            member.pax_headers = dict(times) | {
                "MSWINDOWS.fileattr": str(attributes),
                "MSWINDOWS.rawsd": base64.b64encode(descriptor(number)).decode(),
            } | more
        self.archive.addfile(member, io.BytesIO(data))
        self.note(name, kind, attributes, data, link, number, times, "MSWINDOWS.mountpoint" in more)

    def note(self, name, kind, attributes, data, link, number, times, is_mount_point):
        path = name.removeprefix("Files/")
        if path == name:
            return
        if attributes is None:
            owner, _, stream = path.rpartition(":")
            self.facts[owner][8].append([stream, len(data), md5(data)])
        elif kind == H:
            # One list for all names of a file.
            entry = self.facts[link.removeprefix("Files/")]
            entry[3] += 1
            self.facts[path] = entry
        else:
            self.facts[path] = [
                {F: "file", D: "folder", L: "link"}[kind],
                len(data),
                md5(data) if kind == F else None,
                1,
                attributes & ATTRIBUTES,
                [ticks(times[key]) for key in ("LIBARCHIVE.creationtime", "mtime", "atime", "ctime")],
                md5(descriptor(number)),
                md5(reparse(link, is_mount_point)) if kind == L else None,
                [],
            ]

    def close(self, facts=None):
        self.archive.close()
        if facts:
            for entry in self.facts.values():
                entry[8].sort()
            lines = sorted(json.dumps([path] + entry) for path, entry in self.facts.items())
            with open(facts, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
