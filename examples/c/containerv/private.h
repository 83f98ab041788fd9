/* Stands for the private header of containerv: of its structs, what has to do with volumes. In containerv
 * itself this file is its own. */
#ifndef PRIVATE_H
#define PRIVATE_H

#include <stdint.h>

#ifndef __CONTAINERV_H__
#define __CONTAINERV_H__

enum containerv_mount_flags {
    CV_MOUNT_BIND = 0x1,
    CV_MOUNT_RECURSIVE = 0x2,
    CV_MOUNT_READONLY = 0x4,
    CV_MOUNT_CREATE = 0x100
};

/* As containerv's public header declares it. */
extern int containerv_volume_create(const char *name, uint64_t size_mb, const char *filesystem);
#endif

/* Directories of the host that a container's layers bring. */
struct containerv_layer_context {
    const char *host_path;
    const char *container_path;
    int readonly;
    struct containerv_layer_context *next;
};

struct containerv_options {
    struct containerv_layer_context *layers;
};

struct containerv_container {
    const char *id;
    /* The name of the compute system. */
    const char *vm_id;
    int guest_is_windows;
    /* What the document that the system is made from gets of mounts: new, and owned by the container. */
    char *storage_json;
    /* What has to be run in the guest, where something has to. */
    char *guest_json;
    /* The options that its volumes were set up from. */
    struct containerv_options *volume_options;
};

extern int __windows_setup_volumes(struct containerv_container *container,
                                   const struct containerv_options *options);
extern void __windows_cleanup_volumes(struct containerv_container *container);

#endif
