/*
 * containerv_volume.h - storage for containers in virtual machines, for C99 and C++11.
 *
 * Written by cbindgen from crates/capi/src: do not change it by hand.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Rules that hold for all functions:
 *
 * - Those that return an int return 0, or -1 with errno set; those that return an address return NULL
 *   with errno set. containerv_volume_last_error and containerv_volume_last_error_code tell more, for
 *   each thread by itself. On Windows errno is that of the C runtime the library is linked with
 *   (msvcrt.dll); the code is right for every program.
 * - Texts are UTF-8 and end with NUL. They are read before the call returns, and never kept.
 * - An argument is NULL or valid. NULL is refused with EINVAL where nothing else is said of it.
 * - What is handed out belongs to the caller, who gives it back by the function that is named with it,
 *   and by no other. Giving back NULL, or the same thing twice, does nothing, as long as nothing else was
 *   handed out at the same address since. After an error an argument that something is handed out by
 *   holds NULL or zero.
 * - Handles (managers, options) are numbers, not addresses: one that was closed is told from every other
 *   for ever, and fails with EBADF.
 * - Every function may be called from any thread at any time, on the same handles too. The store is safe
 *   with several threads and several processes. A callback may call functions of this header again. After
 *   fork the child may go on where no other thread was in a call.
 * - No function ends the program, or lets a fault of the library pass into it.
 */

#ifndef CONTAINERV_VOLUME_H
#define CONTAINERV_VOLUME_H

#include <stdint.h>

#if defined(_WIN32) && defined(CONTAINERV_VOLUME_DLL)
#define CONTAINERV_VOLUME_API __declspec(dllimport)
#else
#define CONTAINERV_VOLUME_API
#endif


/**
 * The layouts and functions of this header; the number in the name of the shared library. It grows
 * when a program that was compiled before would not run any more.
 */
#define CONTAINERV_VOLUME_ABI 0

/**
 * Stands for all attachments of a machine.
 */
#define CV_VOLUME_ALL_ATTACHMENTS 0

/**
 * The class of the last error of a thread.
 */
enum containerv_volume_code {
    /**
     * The last call did what it should.
     */
    CV_VOLUME_OK = 0,
    /**
     * An argument makes no sense (EINVAL).
     */
    CV_VOLUME_INVALID_ARGUMENT = 1,
    /**
     * The volume, file or directory is not there (ENOENT).
     */
    CV_VOLUME_NOT_FOUND = 2,
    /**
     * It is there already (EEXIST).
     */
    CV_VOLUME_ALREADY_EXISTS = 3,
    /**
     * Somebody uses it (EBUSY).
     */
    CV_VOLUME_IN_USE = 4,
    /**
     * Its bytes contradict its format (EBADMSG).
     */
    CV_VOLUME_DAMAGED = 5,
    /**
     * It cannot be done here, or not at all (ENOTSUP).
     */
    CV_VOLUME_UNSUPPORTED = 6,
    /**
     * The host or the volume has no room left (ENOSPC).
     */
    CV_VOLUME_NO_SPACE = 7,
    /**
     * A callback asked to stop (ECANCELED).
     */
    CV_VOLUME_INTERRUPTED = 8,
    /**
     * The host, the machine or the guest failed (EIO).
     */
    CV_VOLUME_IO = 9,
    /**
     * The handle is closed, or never was one (EBADF).
     */
    CV_VOLUME_BAD_HANDLE = 10,
    /**
     * A fault of the library itself (ENOTRECOVERABLE); please report it.
     */
    CV_VOLUME_INTERNAL = 11,
    /**
     * A server does not let the user in (EACCES).
     */
    CV_VOLUME_DENIED = 12,
};

/**
 * What stands behind a volume.
 */
enum windows_volume_type {
    /**
     * A disk image, named by its path.
     */
    WINDOWS_VOLUME_VHD = 0,
    /**
     * A directory or file of the host.
     */
    WINDOWS_VOLUME_HOST_BIND = 1,
    /**
     * A share of an SMB server.
     */
    WINDOWS_VOLUME_SMB_SHARE = 2,
    /**
     * A file system that is gone after the tear-down.
     */
    WINDOWS_VOLUME_TMPFS = 3,
    /**
     * A volume of the store, named by its name.
     */
    WINDOWS_VOLUME_NAMED = 4,
};

#if !defined(__CONTAINERV_H__)
/**
 * How a mount is made, as a set of bits. Left out where containerv.h stands before this header.
 */
enum containerv_mount_flags {
    /**
     * A directory or file of the host.
     */
    CV_MOUNT_BIND = 1,
    /**
     * With what is mounted below it; a share always brings that.
     */
    CV_MOUNT_RECURSIVE = 2,
    /**
     * Nothing can be changed through it.
     */
    CV_MOUNT_READONLY = 4,
    /**
     * The directory of the host is made where it is missing.
     */
    CV_MOUNT_CREATE = 256,
};
#endif

/**
 * What runs in the machine.
 */
enum containerv_guest {
    /**
     * Linux.
     */
    CV_GUEST_LINUX = 0,
    /**
     * Windows.
     */
    CV_GUEST_WINDOWS = 1,
};

/**
 * How much a log callback is told: what it is given, and all that stands above it here.
 */
enum containerv_volume_log_level {
    /**
     * Calls that failed.
     */
    CV_LOG_ERROR = 1,
    /**
     * What somebody should look at: a store that was mended, work that stays to be undone.
     */
    CV_LOG_WARNING = 2,
    /**
     * What was changed.
     */
    CV_LOG_INFO = 3,
    /**
     * Every call.
     */
    CV_LOG_DEBUG = 4,
};

/**
 * Options of a container, as far as they are about volumes. Never looked into: containerv's own struct
 * of this name can be used too, see `containerv_volume_options_adopt`.
 */
struct containerv_options;

/**
 * A store of volumes that is open.
 */
struct containerv_volume_manager;

/**
 * Is told what happens; `message` is UTF-8 and valid during the call. It may call any function of this
 * header except `containerv_volume_set_log`; what these do is not logged. It must return: no `longjmp`,
 * no exception.
 */
typedef void (*containerv_volume_log_fn)(int level, const char *message, void *user);

/**
 * Is told how far an operation is, in bytes; `total` is 0 where it is not known. Anything but 0 stops
 * the operation, and what is half done is undone. The same rules hold as for a log callback.
 */
typedef int (*containerv_volume_progress_fn)(uint64_t done, uint64_t total, void *user);

/**
 * What is known of a volume. Texts are UTF-8, and belong to the library: they are given back with the
 * list that the struct is in, or by `containerv_volume_info_free`.
 */
struct containerv_volume_info {
    /**
     * Its name.
     */
    char *name;
    /**
     * What it is known by for ever: 36 characters. Guests see it as the serial of the disk.
     */
    char *id;
    /**
     * The file of its image, the directory or file of the host, or `//server/share`; NULL where it has
     * none of these.
     */
    char *path;
    /**
     * "ntfs", "fat32", "none", or what Windows made: "refs", "scratch"; NULL where it has no image.
     */
    char *filesystem;
    /**
     * "vhdx", "vhd" or "raw"; NULL where it has no image.
     */
    char *format;
    /**
     * "ready", or what is being done to it.
     */
    char *state;
    /**
     * What it stands on, VOLUME@SNAPSHOT; NULL where it stands on nothing of another volume's.
     */
    char *base;
    /**
     * What stands behind it.
     */
    enum windows_volume_type type;
    /**
     * 0 where it goes away when it is tidied up.
     */
    int persistent;
    /**
     * 1 where somebody uses it just now.
     */
    int in_use;
    /**
     * Its size in units of 1,048,576 bytes, rounded up; 0 where it has none.
     */
    uint64_t size_mb;
    /**
     * Its size in bytes.
     */
    uint64_t size_bytes;
    /**
     * What it takes on the host, in bytes; 0 where that cannot be found out.
     */
    uint64_t used_bytes;
    /**
     * When it was made, in milliseconds since 1970-01-01 UTC.
     */
    uint64_t created_unix_ms;
    /**
     * Of the library.
     */
    void *reserved;
};

/**
 * A snapshot of a volume. Texts belong to the list that it is in.
 */
struct containerv_volume_snapshot {
    /**
     * Its name, without that of the volume.
     */
    char *name;
    /**
     * When it was taken, in milliseconds since 1970-01-01 UTC.
     */
    uint64_t created_unix_ms;
    /**
     * What its layer takes on the host, in bytes; 0 where that cannot be found out.
     */
    uint64_t used_bytes;
};

/**
 * A volume that a container is to have. All of it is read before the call returns.
 */
struct containerv_windows_volume {
    /**
     * What stands behind it.
     */
    enum windows_volume_type type;
    /**
     * A path of the host, an image, or `//server/share`; NULL for a named volume and for TMPFS.
     */
    char *source_path;
    /**
     * Where it appears in the guest.
     */
    char *target_path;
    /**
     * The name of a named volume; NULL for all others.
     */
    char *volume_name;
    /**
     * The size of a volume or image that is made where it is missing, and of TMPFS, in units of
     * 1,048,576 bytes; 0 where nothing is to be made (TMPFS: 64).
     */
    uint64_t size_mb;
    /**
     * 0, or anything else where nothing can be changed through it.
     */
    int read_only;
    /**
     * "NTFS", "FAT32", ... in any case; NULL for NTFS where something is made.
     */
    char *filesystem;
};

#if !defined(CONTAINERV_HAS_MOUNT)
/**
 * One mount. Define CONTAINERV_HAS_MOUNT before this header where containerv.h has this struct.
 */
struct containerv_mount {
    /**
     * A path of the host, `//server/share`, or the name of a volume; NULL for "tmpfs".
     */
    char *what;
    /**
     * Where it appears in the guest: `/data`, `C:\data`, `D:`.
     */
    char *where;
    /**
     * NULL (a bind mount, or a volume where `what` is no path), "bind", "volume", "vhd" or "vhdx" (an
     * image whose file system is looked for), "ntfs", "refs", "fat32", "ext4" or "xfs" (an image that
     * holds it, or is formatted so by the guest if it holds nothing), "smb" or "cifs", "tmpfs".
     */
    char *fstype;
    /**
     * A set of CV_MOUNT_*.
     */
    uint32_t flags;
};
#endif

/**
 * What a `struct containerv_mount` cannot say.
 */
struct containerv_windows_mount_options {
    /**
     * What stands behind it.
     */
    enum windows_volume_type type;
    /**
     * As in `struct containerv_windows_volume`.
     */
    uint64_t size_mb;
    /**
     * As in `struct containerv_windows_volume`.
     */
    char *filesystem;
    /**
     * What the share of a directory is called on its way into the guest; NULL to let it be chosen.
     */
    char *share_name;
    /**
     * 0 where a volume that was made for the container is removed after it.
     */
    int persistent;
};

/**
 * A machine that runs, and how it is reached: by the Host Compute Service, by the sockets of QEMU, or,
 * where the store knows it already (`cvol vm run`), by its name alone.
 */
struct containerv_machine {
    /**
     * What the store and the command call it: letters, digits, `.`, `_` and `-`. NULL for hcs_system_id.
     */
    char *name;
    /**
     * The name of the compute system; NULL for a machine of QEMU.
     */
    char *hcs_system_id;
    /**
     * The version of its documents, "2.0" to "2.9"; NULL for the newest that the service takes.
     */
    char *hcs_schema;
    /**
     * The socket of the monitor (QMP) of a machine of QEMU; else NULL.
     */
    char *qmp_socket;
    /**
     * The socket at whose other end the agent in the guest is. For hcs_system_id the way to it: "hvsocket"
     * or NULL (a socket of the hypervisor), "tcp:127.0.0.1:PORT" (a tunnel), or "none", where the program
     * mounts in the guest itself, as `containerv_volume_attachments` tells it under `guest_work`.
     */
    char *agent_socket;
    /**
     * What runs in it.
     */
    enum containerv_guest guest;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library, such as "0.1.0". Never NULL, never to be freed.
 */
CONTAINERV_VOLUME_API const char *containerv_volume_version(void);

/**
 * The CONTAINERV_VOLUME_ABI that the library was made with, for programs that load it at run time.
 */
CONTAINERV_VOLUME_API uint32_t containerv_volume_abi(void);

/**
 * What was wrong with the last call of this thread, in English and UTF-8, in one line; "" where nothing
 * was. Never NULL, never to be freed; valid until the next call of this thread other than this one,
 * `containerv_volume_last_error_code` and the functions that give memory back.
 */
CONTAINERV_VOLUME_API
const char *containerv_volume_last_error(void);

/**
 * The class of what was wrong with the last call of this thread; CV_VOLUME_OK where nothing was.
 */
CONTAINERV_VOLUME_API enum containerv_volume_code containerv_volume_last_error_code(void);

/**
 * Has `function` told what happens, on whatever thread it happens, with `user` handed on; NULL for
 * nobody. When this returns, the function before runs on no thread any more.
 *
 * Fails with EBUSY in a log callback, and with EINVAL where `level` is none.
 */
CONTAINERV_VOLUME_API
int containerv_volume_set_log(containerv_volume_log_fn function,
                              void *user,
                              enum containerv_volume_log_level level);

/**
 * Has `function` told how far the operations of this thread are; NULL for nobody. It is called now and
 * then, on this thread.
 */
CONTAINERV_VOLUME_API
void containerv_volume_set_progress(containerv_volume_progress_fn function,
                                    void *user);

/**
 * How many handles are open and pieces of memory are not given back, of the whole process. A program
 * that ends with another number than 0 forgot one.
 */
CONTAINERV_VOLUME_API
uint64_t containerv_volume_outstanding(void);

/**
 * Opens the store in the folder `root`, which is made by the first call that needs it; NULL for
 * CVOL_ROOT in the environment or else the data folder of the system. Several managers, threads and
 * processes may use one store at the same time.
 *
 * Returns a handle, to be closed by `containerv_volume_manager_close`, or NULL.
 */
CONTAINERV_VOLUME_API
struct containerv_volume_manager *containerv_volume_manager_open(const char *root);

/**
 * Closes a manager. Calls of other threads that use it are completed, and options made for it stay
 * usable. NULL is no error; a handle that was closed before fails with EBADF.
 */
CONTAINERV_VOLUME_API
int containerv_volume_manager_close(struct containerv_volume_manager *manager);

/**
 * The store of the functions that take no manager, and of those that are given NULL for one, from now
 * on; NULL for the default one. Files that are held open of the store before are closed.
 */
CONTAINERV_VOLUME_API
int containerv_volume_set_root(const char *root);

#if !defined(__CONTAINERV_H__)
/**
 * Makes a volume of `size_mb` units of 1,048,576 bytes (0: 20 GiB) with NTFS, in a VHDX that takes what
 * is written into it. All of it is made, or nothing.
 *
 * This is the function of containerv's note. That of its header has a third argument, and is
 * `containerv_volume_create_fs` here; after containerv.h this declaration is left out.
 *
 * Fails with EINVAL (the name or size), EEXIST, ENOSPC, EIO.
 */
CONTAINERV_VOLUME_API
int containerv_volume_create(const char *name,
                             uint64_t size_mb);
#endif

/**
 * The same with a file system: "NTFS" or "FAT32" in any case, "none", or NULL for NTFS. This is the
 * `containerv_volume_create` of containerv's own header.
 *
 * Fails also with ENOTSUP (a file system that is not made here).
 */
CONTAINERV_VOLUME_API
int containerv_volume_create_fs(const char *name,
                                uint64_t size_mb,
                                const char *filesystem);

/**
 * Makes a volume in the store of `manager` by an option string as the command has it, such as
 * "size=1G,fs=ntfs,persistent=true"; NULL or "" for all defaults.
 *
 * Fails as `containerv_volume_create_fs`.
 */
CONTAINERV_VOLUME_API
int containerv_volume_create_in(struct containerv_volume_manager *manager,
                                const char *name,
                                const char *options);

/**
 * Removes a volume and what it holds. One that is used, or that others stand on, is not removed.
 *
 * Fails with EINVAL (the name), ENOENT, EBUSY, EBADMSG, EIO.
 */
CONTAINERV_VOLUME_API int containerv_volume_delete(const char *name);

/**
 * The same in the store of `manager`; with `force` other than 0 also a volume that is damaged.
 */
CONTAINERV_VOLUME_API
int containerv_volume_delete_in(struct containerv_volume_manager *manager,
                                const char *name,
                                int force);

/**
 * All volumes, by name. `*volumes` is to be given back by `containerv_volume_list_free`, which takes the
 * whole list; it is NULL where there is none.
 *
 * Fails with EBUSY, EBADMSG, EIO (the store cannot be opened).
 */
CONTAINERV_VOLUME_API
int containerv_volume_list(struct containerv_volume_info **volumes,
                           int *count);

/**
 * The same of the store of `manager`, of those volumes alone that meet `condition`: "name=web",
 * "label=app=db", ... as the command has them; NULL for all.
 *
 * Fails also with EINVAL (the condition).
 */
CONTAINERV_VOLUME_API
int containerv_volume_list_in(struct containerv_volume_manager *manager,
                              const char *condition,
                              struct containerv_volume_info **volumes,
                              int *count);

/**
 * What is known of a volume. `*info` is filled in, and its texts are to be given back by
 * `containerv_volume_info_free`; after an error it holds zeros.
 *
 * Fails with EINVAL (the name), ENOENT, EBADMSG, EIO.
 */
CONTAINERV_VOLUME_API
int containerv_volume_inspect(const char *name,
                              struct containerv_volume_info *info);

/**
 * The same in the store of `manager`.
 */
CONTAINERV_VOLUME_API
int containerv_volume_inspect_in(struct containerv_volume_manager *manager,
                                 const char *name,
                                 struct containerv_volume_info *info);

/**
 * Gives a list of volumes back, with all texts in it. NULL, and a list that was given back before, are
 * left alone. The last error stays as it is.
 */
CONTAINERV_VOLUME_API
void containerv_volume_list_free(struct containerv_volume_info *volumes);

/**
 * Gives the texts of `*info` back and fills it with zeros; `info` itself is the caller's. NULL and what
 * was given back before are left alone. The last error stays as it is.
 */
CONTAINERV_VOLUME_API
void containerv_volume_info_free(struct containerv_volume_info *info);

/**
 * Gives a text back. NULL, and a text that was given back before, are left alone. The last error stays
 * as it is.
 */
CONTAINERV_VOLUME_API
void containerv_volume_string_free(char *text);

/**
 * Makes the disk image `path` of `size_mb` units of 1,048,576 bytes (0: 20 GiB) with a file system
 * ("NTFS" or "FAT32" in any case, "none", or NULL for NTFS), labelled `name` (NULL for no label). A path
 * that ends in ".vhd" gives a VHD, any other a VHDX. All of it is made, or nothing; a file that is there
 * is not replaced.
 *
 * The image is the caller's: it is used by its path, and `containerv_volume_list` does not show it. With
 * NULL for `path` a volume `name` of the store is made, as by `containerv_volume_create_fs`.
 *
 * Fails with EINVAL (the name or size, neither name nor path), EEXIST, ENOENT (the folder), ENOTSUP (a
 * file system that is not made here), ENOSPC, ECANCELED, EIO.
 */
CONTAINERV_VOLUME_API
int containerv_volume_create_vhd(const char *name,
                                 const char *path,
                                 uint64_t size_mb,
                                 const char *filesystem);

/**
 * Keeps the state of a volume that nobody writes under the name `snapshot`; a moment, whatever the
 * size. In all functions of this chapter `manager` may be NULL for the store of the process.
 *
 * Fails with EINVAL (a name), ENOENT, EEXIST, EBUSY, ENOTSUP (a raw image), EBADMSG, ENOSPC, EIO.
 */
CONTAINERV_VOLUME_API
int containerv_volume_snapshot_create(struct containerv_volume_manager *manager,
                                      const char *volume,
                                      const char *snapshot);

/**
 * The snapshots of a volume, the oldest first. `*snapshots` is to be given back by
 * `containerv_volume_snapshot_list_free`; it is NULL where there is none.
 *
 * Fails with EINVAL (the name), ENOENT, EBADMSG, EIO.
 */
CONTAINERV_VOLUME_API
int containerv_volume_snapshot_list(struct containerv_volume_manager *manager,
                                    const char *volume,
                                    struct containerv_volume_snapshot **snapshots,
                                    int *count);

/**
 * Gives a list of snapshots back, with all texts in it. NULL, and a list that was given back before,
 * are left alone. The last error stays as it is.
 */
CONTAINERV_VOLUME_API
void containerv_volume_snapshot_list_free(struct containerv_volume_snapshot *snapshots);

/**
 * Makes a volume what it was when the snapshot was taken. What was written since is lost; the snapshot
 * stays.
 *
 * Fails as `containerv_volume_snapshot_create`.
 */
CONTAINERV_VOLUME_API
int containerv_volume_snapshot_restore(struct containerv_volume_manager *manager,
                                       const char *volume,
                                       const char *snapshot);

/**
 * Removes a snapshot; the volume and its other snapshots hold what they held. Its layer is merged with
 * one beside it, which may take a while; stopped by the progress callback, it may be called again.
 *
 * Fails as `containerv_volume_snapshot_create`; EBUSY also where clones stand on it; ECANCELED.
 */
CONTAINERV_VOLUME_API
int containerv_volume_snapshot_delete(struct containerv_volume_manager *manager,
                                      const char *volume,
                                      const char *snapshot);

/**
 * Makes the volume `name`, which holds what `base` does and shares its space. `base` is VOLUME, of which
 * a snapshot is taken, or VOLUME@SNAPSHOT. `options` may be NULL, or have "size" (not less than that of
 * the base) and "persistent".
 *
 * Fails as `containerv_volume_snapshot_create`.
 */
CONTAINERV_VOLUME_API
int containerv_volume_clone(struct containerv_volume_manager *manager,
                            const char *base,
                            const char *name,
                            const char *options);

/**
 * Gives a volume that nobody uses the size `size_mb`, with its partition and its file system: all of
 * it, or nothing.
 *
 * Fails with EINVAL (a size that what is there does not fit in), ENOENT, EBUSY, EBADMSG (also where it
 * was not unmounted cleanly), ENOTSUP, ENOSPC, ECANCELED, EIO.
 */
CONTAINERV_VOLUME_API
int containerv_volume_resize(struct containerv_volume_manager *manager,
                             const char *name,
                             uint64_t size_mb);

/**
 * Gives what no file system in a volume uses back to the host. `freed_bytes` may be NULL, or is told how
 * much that was.
 *
 * Fails with EINVAL (the name), ENOENT, EBUSY, EBADMSG, ENOTSUP (a fixed image, a base of others),
 * ENOSPC, ECANCELED, EIO. What is used reads as before also after an error.
 */
CONTAINERV_VOLUME_API
int containerv_volume_compact(struct containerv_volume_manager *manager,
                              const char *name,
                              uint64_t *freed_bytes);

/**
 * Makes options for a container whose volumes are in the store of `manager` (NULL: that of the
 * process).
 *
 * Returns a handle, to be given to `containerv_volume_options_delete`, or NULL.
 */
CONTAINERV_VOLUME_API
struct containerv_options *containerv_volume_options_new(struct containerv_volume_manager *manager);

/**
 * Lets a `struct containerv_options` of the program's own, as containerv has one, be used with the
 * functions below: `options` is taken as a name and never looked into. Call
 * `containerv_volume_options_delete` before the struct is freed.
 *
 * Fails with EINVAL (NULL, no struct) and EBUSY (adopted before).
 */
CONTAINERV_VOLUME_API
int containerv_volume_options_adopt(struct containerv_options *options,
                                    struct containerv_volume_manager *manager);

/**
 * Forgets options and zeroes the passwords in them. A struct of the program's own stays the program's.
 * NULL is no error; options that were deleted before, or never known, fail with EBADF.
 */
CONTAINERV_VOLUME_API
int containerv_volume_options_delete(struct containerv_options *options);

/**
 * Whether all that was added to the options makes sense so far. Functions that return nothing keep
 * their first error, and this and every later use of the options fails with it.
 */
CONTAINERV_VOLUME_API int containerv_volume_options_check(struct containerv_options *options);

/**
 * Adds a mount.
 *
 * `source` is a path of the host, an image, `//server/share`, or the name of a volume; NULL for "tmpfs".
 * `target` is where it appears in the guest. `volume_type` is "bind", "vhd" (an image by its path, or a
 * volume by its name), "named", "smb" or "tmpfs"; NULL for what the driver says. `options_str` may be
 * NULL, or have "ro", "create" (a directory of the host), "share_name", "username", "persistent", and
 * what a volume or image is made with where it is missing: "size=1G,fs=ntfs". A volume that was made so
 * with "persistent=false" is removed after the container.
 *
 * Its error is kept: see `containerv_volume_options_check`.
 */
CONTAINERV_VOLUME_API
void containerv_options_add_volume(struct containerv_options *options,
                                   const char *source,
                                   const char *target,
                                   const char *volume_type,
                                   const char *options_str);

/**
 * Adds a mount, as the struct says it.
 *
 * Fails with EINVAL, EBADF.
 */
CONTAINERV_VOLUME_API
int containerv_volume_options_add(struct containerv_options *options,
                                  const struct containerv_windows_volume *volume);

/**
 * Adds a mount with what it cannot say itself; `windows` may be NULL.
 *
 * Fails with EINVAL, EBADF.
 */
CONTAINERV_VOLUME_API
int containerv_volume_options_add_mount(struct containerv_options *options,
                                        const struct containerv_mount *mount,
                                        const struct containerv_windows_mount_options *windows);

#if !defined(CONTAINERV_HAS_MOUNT)
/**
 * The mounts of the container, in the place of those that an earlier call of this function said. What
 * was added by other functions stays. All of it is read before this returns.
 *
 * Its error is kept: see `containerv_volume_options_check`. With CONTAINERV_HAS_MOUNT this declaration is
 * left out, since containerv.h has it then.
 */
CONTAINERV_VOLUME_API
void containerv_options_set_mounts(struct containerv_options *options,
                                   const struct containerv_mount *mounts,
                                   int count);
#endif

/**
 * Adds a share of an SMB server, `//server/share[/path]` or the same with backslashes, which the guest
 * mounts. `username` (NULL: nobody logs in) may be `DOMAIN\user`. The password is kept in memory that is
 * zeroed when the options are deleted; it stands in no plan, no log and no argument of a program.
 *
 * Fails with EINVAL, EBADF.
 */
CONTAINERV_VOLUME_API
int containerv_volume_attach_smb_share(struct containerv_options *options,
                                       const char *share_path,
                                       const char *mount_point,
                                       const char *username,
                                       const char *password);

/**
 * What stands behind volumes whose type is not said: "local" or "vhd" (the default), "bind", "smb",
 * "tmpfs"; NULL for the default.
 *
 * Its error is kept: see `containerv_volume_options_check`.
 */
CONTAINERV_VOLUME_API
void containerv_options_set_volume_driver(struct containerv_options *options,
                                          const char *driver_name);

/**
 * Makes the volumes and images that the options say how to make and that are not there. What was made
 * before an error stays, and a second call makes the rest. `containerv_volume_release` removes those
 * that are not to stay after the container.
 *
 * Fails as `containerv_volume_create_fs`, and with EBADF.
 */
CONTAINERV_VOLUME_API
int containerv_volume_prepare(struct containerv_options *options);

/**
 * Removes the volumes and images that `containerv_volume_prepare` made with "persistent=false". They
 * must not be used any more. May be called again after an error, and finds nothing to do when it was
 * done before.
 *
 * Fails with EBUSY, EIO, EBADF.
 */
CONTAINERV_VOLUME_API
int containerv_volume_release(struct containerv_options *options);

/**
 * Tells all mounts in the form of another tool, as JSON in UTF-8; `*json` is to be given back by
 * `containerv_volume_string_free`, and is NULL after an error. Nothing is attached or changed; volumes
 * that are named have to be there.
 *
 * `form` is "hcs-1" (MappedDirectories and MappedVirtualDisks, to be merged into the document that a
 * container of HCS schema 1 is made from), "hcs-2.0" to "hcs-2.9" (parts of the documents of a machine and
 * of a container, and the same as requests to a machine that runs), "oci" (`mounts` of the OCI
 * specification, in the kinds that hcsshim takes), "steps" or "steps-qemu" (what is done, with what
 * undoes it); NULL for "hcs-2.1". In the hcs and oci forms what HCS does not bring into a guest is left
 * to `containerv_volume_guest_script`.
 *
 * Fails with EINVAL (a mount, the form), ENOENT, ENOTSUP (what the machine or the form cannot do, by
 * name), EBADMSG, EIO, EBADF.
 */
CONTAINERV_VOLUME_API
int containerv_volume_plan(struct containerv_options *options,
                           enum containerv_guest guest,
                           const char *form,
                           char **json);

/**
 * Commands to be run in the guest, in order, of what HCS does not bring into it: SMB shares, and memory in
 * Linux. `*json` is to be given back by `containerv_volume_string_free`:
 *
 *   {"mount": [{"number": 1, "words": ["mkdir", "-p", "/data"], "reads_credentials": false}, ...],
 *    "unmount": [...]}
 *
 * `words` are the program and its arguments, for no shell; `number` is the mount, from 1. A command that
 * reads credentials gets on its standard input what `containerv_volume_guest_input` gives for the mount.
 *
 * Fails as `containerv_volume_plan`.
 */
CONTAINERV_VOLUME_API
int containerv_volume_guest_script(struct containerv_options *options,
                                   enum containerv_guest guest,
                                   char **json);

/**
 * What the commands of a mount (by its number in the script) read from their standard input: the user
 * and the password of a share. `*input` is to be given back by `containerv_volume_string_free`, which
 * overwrites it; it is NULL after an error.
 *
 * Fails with EINVAL (there is no such mount, or nobody logs in there), EBADF.
 */
CONTAINERV_VOLUME_API
int containerv_volume_guest_input(struct containerv_options *options,
                                  enum containerv_guest guest,
                                  int number,
                                  char **input);

/**
 * Brings all mounts of the options into a machine that runs: all of them, or nothing. What is missing is
 * made before, as by `containerv_volume_prepare`. `attachment` may be NULL, or is told the number that
 * `containerv_volume_cleanup` takes.
 *
 * Disks for QEMU are served by the command `cvol`, which is started for that: it is looked for at
 * CVOL_PROGRAM of the environment, and on the path. A machine that the store does not know becomes known;
 * what is attached to it is written down there, so that it can be cleaned up after a crash of the program,
 * and by `cvol ps` and `cvol detach`. A progress callback is asked between steps, and ends it by another
 * answer than 0.
 *
 * Fails with EINVAL (also where the options have no mount), ENOENT (the machine, a volume, a directory),
 * EBUSY (a volume or target that somebody has), ENOTSUP (what the machine cannot do; machines of HCS where
 * there is no such service), ECANCELED, ENOSPC, EIO, EBADF. What was done is undone; what could not be is
 * told by `cvol ps`.
 */
CONTAINERV_VOLUME_API
int containerv_volume_setup(struct containerv_options *options,
                            const struct containerv_machine *machine,
                            uint64_t *attachment);

/**
 * Takes an attachment of a machine away again, by its number; CV_VOLUME_ALL_ATTACHMENTS takes all of them,
 * and has the store forget a machine that became known by `containerv_volume_setup`. The machine may be
 * gone: then what is left of it on the host is taken away. `force` other than 0 passes over a guest that
 * does not do its part; what it had not written is lost.
 *
 * May be called again as often as one likes: what is not there any more is no error. What
 * `containerv_volume_prepare` made is removed by `containerv_volume_release` afterwards.
 *
 * Fails with EINVAL (the name), EBUSY (the guest uses it, somebody is at work on the machine), ENOTSUP (a
 * machine of HCS where there is no such service), EIO. What was not taken away is still written down, and the
 * call can be made again.
 */
CONTAINERV_VOLUME_API
int containerv_volume_cleanup(struct containerv_volume_manager *manager,
                              const char *machine,
                              uint64_t attachment,
                              int force);

/**
 * What is attached to a machine, or with NULL for its name to all machines, as a list in JSON; `*json` is
 * to be given back by `containerv_volume_string_free`, and is NULL after an error.
 *
 * Fails with EINVAL (the name), ENOENT, EBADMSG, EIO.
 */
CONTAINERV_VOLUME_API
int containerv_volume_attachments(struct containerv_volume_manager *manager,
                                  const char *machine,
                                  char **json);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CONTAINERV_VOLUME_H */
