/* What containerv's own header has that this library's header has too, by the same names: both can be
 * read by one program. The rest of it is of no interest here. */
#ifndef __CONTAINERV_H__
#define __CONTAINERV_H__

#include <stdint.h>

struct containerv_options;

enum containerv_mount_flags {
    CV_MOUNT_BIND = 0x1,
    CV_MOUNT_RECURSIVE = 0x2,
    CV_MOUNT_READONLY = 0x4,
    CV_MOUNT_CREATE = 0x100
};

#ifdef CONTAINERV_HAS_MOUNT
/* Versions that had them. */
struct containerv_mount {
    char *what;
    char *where;
    char *fstype;
    enum containerv_mount_flags flags;
};

extern void containerv_options_set_mounts(struct containerv_options *options,
                                          struct containerv_mount *mounts, int count);
#endif

extern int containerv_volume_create(const char *name, uint64_t size_mb, const char *filesystem);

#endif
