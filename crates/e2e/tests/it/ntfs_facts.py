"""Tells all that is known of each file of an NTFS volume, one line of JSON a name, sorted by path.

    ntfs_facts.py mount FOLDER FOLDER2  through ntfs-3g, mounted with streams_interface=xattr, and with
                                        =windows for streams that no extended attribute holds
    ntfs_facts.py dissect PARTITION     through dissect.ntfs, which shares no code with the other

Both print the same of a sound volume: [path, kind, size, MD5 of the data, names, attributes, the four
times in 100 ns since 1601, MD5 of the security descriptor, MD5 of the reparse data, streams].
"""
import ctypes
import hashlib
import json
import os
import struct
import sys

# What only one of the two tells, or tells in its own way: directory, normal, sparse, reparse point.
ATTRIBUTES = 0xFFFFFFFF & ~(0x10 | 0x80 | 0x200 | 0x400 | 0x10000000)
# Data beyond this is not read whole: its first and last 64 KiB stand for it.
WHOLE = 64 << 20
EDGE = 1 << 16


def digest(stream, size):
    found = hashlib.md5()
    if size > WHOLE:
        found.update(stream.read(EDGE))
        stream.seek(size - EDGE)
        found.update(stream.read(EDGE))
        return found.hexdigest()
    while block := stream.read(1 << 20):
        found.update(block)
    return found.hexdigest()


def md5(data):
    return hashlib.md5(data).hexdigest() if data is not None else None


def mounted(folder, with_streams):
    # Python asks with a short buffer first, which ntfs-3g takes for an error.
    lgetxattr = ctypes.CDLL(None).lgetxattr
    buffer = ctypes.create_string_buffer(1 << 16)

    def xattr(path, name):
        found = lgetxattr(os.fsencode(path), os.fsencode(name), buffer, 1 << 16)
        return buffer.raw[:found] if found >= 0 else None

    def entry(path):
        state = os.lstat(path)
        is_folder = os.path.isdir(path) and not os.path.islink(path)
        reparse = xattr(path, "system.ntfs_reparse_data")
        size, data = 0, None
        if reparse is None and not is_folder:
            size = state.st_size
            with open(path, "rb") as stream:
                data = digest(stream, size)
        streams = []
        # The names of streams, where listing them is not refused (links refuse it).
        try:
            names = os.listxattr(path, follow_symlinks=False)
        except OSError:
            names = []
        for name in names:
            if name.startswith("user."):
                value = xattr(path, name)
                if value is None:
                    relative = os.path.relpath(path, folder)
                    with open(f"{with_streams}/{relative}:{name[5:]}", "rb") as stream:
                        value = stream.read()
                streams.append([name[5:], len(value), md5(value)])
        attributes = struct.unpack("<I", xattr(path, "system.ntfs_attrib")[:4])[0]
        created, modified, accessed, changed = struct.unpack("<4Q", xattr(path, "system.ntfs_times"))
        return [
            "folder" if is_folder else "link" if reparse is not None else "file",
            size,
            data,
            1 if is_folder else state.st_nlink,
            attributes & ATTRIBUTES,
            [created, modified, accessed, changed],
            md5(xattr(path, "system.ntfs_acl")),
            md5(reparse),
            sorted(streams),
        ]

    for above, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(above, name)
            yield os.path.relpath(path, folder), entry(path)


def dissected(partition):
    from dissect.ntfs import NTFS
    from dissect.ntfs.c_ntfs import ATTRIBUTE_TYPE_CODE as KIND

    volume = NTFS(open(partition, "rb"))
    descriptors = {}

    def descriptor(number):
        if number not in descriptors:
            head = bytes(volume.secure.sii.search(number).data)
            offset, length = struct.unpack("<QI", head[8:20])
            volume.secure.sds.seek(offset + 20)
            descriptors[number] = md5(volume.secure.sds.read(length - 20))
        return descriptors[number]

    def ticks(nanoseconds):
        return nanoseconds // 100 + 116444736000000000

    def entry(record):
        information = record.attributes.STANDARD_INFORMATION
        is_reparse = KIND.REPARSE_POINT in record.attributes
        is_folder = record.is_dir() and not is_reparse
        reparse = None
        if is_reparse:
            points = record.attributes[KIND.REPARSE_POINT]
            reparse = md5(points.open().read())
        size, data, streams = 0, None, []
        names = {attribute.name for attribute in record.attributes.DATA}
        for name in names:
            length = record.size(name)
            found = digest(record.open(name), length)
            if name:
                streams.append([name, length, found])
            elif not is_reparse:
                size, data = length, found
        return [
            "folder" if is_folder else "link" if is_reparse else "file",
            size,
            data,
            1 if record.is_dir() and not is_reparse else len(record.attributes.FILE_NAME),
            int(information.file_attributes) & ATTRIBUTES,
            [
                ticks(information.creation_time_ns),
                ticks(information.last_modification_time_ns),
                ticks(information.last_access_time_ns),
                ticks(information.last_change_time_ns),
            ],
            descriptor(information.security_id),
            reparse,
            sorted(streams),
        ]

    known = {}
    pending = [("", volume.mft.root)]
    while pending:
        above, folder = pending.pop()
        for found in folder.iterdir(ignore_dos=True):
            record = found.dereference()
            if record.segment < 16 or not above and record.segment < 24:
                continue
            path = f"{above}/{found.attribute.file_name}" if above else found.attribute.file_name
            if record.segment not in known:
                known[record.segment] = entry(record)
            yield path, known[record.segment]
            if known[record.segment][0] == "folder":
                pending.append((path, record))


if __name__ == "__main__":
    mode, places = sys.argv[1], sys.argv[2:]
    lines = [
        json.dumps([path.encode("utf-8", "surrogatepass").decode("utf-8", "replace")] + facts)
        for path, facts in {"mount": mounted, "dissect": dissected}[mode](*places)
    ]
    sys.stdout.write("\n".join(sorted(lines)) + "\n")
