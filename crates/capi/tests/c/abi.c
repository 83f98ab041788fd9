/* Sizes, offsets and constants: those of containerv's note, whatever the compiler and the system. */
#include <stddef.h>

#include "check.h"

/* As containerv's note has it, by other names. */
enum note_volume_type {
    NOTE_VHD,
    NOTE_HOST_BIND,
    NOTE_SMB_SHARE,
    NOTE_TMPFS,
    NOTE_NAMED
};

struct note_windows_volume {
    enum note_volume_type type;
    char *source_path;
    char *target_path;
    char *volume_name;
    uint64_t size_mb;
    int read_only;
    char *filesystem;
};

struct note_windows_mount_options {
    enum note_volume_type type;
    uint64_t size_mb;
    char *filesystem;
    char *share_name;
    int persistent;
};

enum note_mount_flags { NOTE_BIND = 0x1, NOTE_RECURSIVE = 0x2, NOTE_READONLY = 0x4, NOTE_CREATE = 0x100 };

struct note_mount {
    char *what;
    char *where;
    char *fstype;
    enum note_mount_flags flags;
};

#define SAME_SIZE(ours, note) CHECK(sizeof(struct ours) == sizeof(struct note))
#define SAME_PLACE(ours, note, field) \
    CHECK(offsetof(struct ours, field) == offsetof(struct note, field))
#define AT(type, field, offset) CHECK(offsetof(struct type, field) == (offset))

static void layouts_are_those_of_the_note(void)
{
    SAME_SIZE(containerv_windows_volume, note_windows_volume);
    SAME_PLACE(containerv_windows_volume, note_windows_volume, type);
    SAME_PLACE(containerv_windows_volume, note_windows_volume, source_path);
    SAME_PLACE(containerv_windows_volume, note_windows_volume, target_path);
    SAME_PLACE(containerv_windows_volume, note_windows_volume, volume_name);
    SAME_PLACE(containerv_windows_volume, note_windows_volume, size_mb);
    SAME_PLACE(containerv_windows_volume, note_windows_volume, read_only);
    SAME_PLACE(containerv_windows_volume, note_windows_volume, filesystem);
    SAME_SIZE(containerv_windows_mount_options, note_windows_mount_options);
    SAME_PLACE(containerv_windows_mount_options, note_windows_mount_options, type);
    SAME_PLACE(containerv_windows_mount_options, note_windows_mount_options, size_mb);
    SAME_PLACE(containerv_windows_mount_options, note_windows_mount_options, filesystem);
    SAME_PLACE(containerv_windows_mount_options, note_windows_mount_options, share_name);
    SAME_PLACE(containerv_windows_mount_options, note_windows_mount_options, persistent);
    SAME_SIZE(containerv_mount, note_mount);
    SAME_PLACE(containerv_mount, note_mount, what);
    SAME_PLACE(containerv_mount, note_mount, where);
    SAME_PLACE(containerv_mount, note_mount, fstype);
    SAME_PLACE(containerv_mount, note_mount, flags);
}

/* Systems of 64 bits: the numbers that the library was compiled with. */
static void layouts_are_those_of_the_library(void)
{
    CHECK(sizeof(void *) == 8);
    CHECK(sizeof(struct containerv_mount) == 32);
    AT(containerv_mount, flags, 24);
    CHECK(sizeof(struct containerv_windows_volume) == 56);
    AT(containerv_windows_volume, type, 0);
    AT(containerv_windows_volume, source_path, 8);
    AT(containerv_windows_volume, target_path, 16);
    AT(containerv_windows_volume, volume_name, 24);
    AT(containerv_windows_volume, size_mb, 32);
    AT(containerv_windows_volume, read_only, 40);
    AT(containerv_windows_volume, filesystem, 48);
    CHECK(sizeof(struct containerv_windows_mount_options) == 40);
    CHECK(sizeof(struct containerv_volume_info) == 112);
    AT(containerv_volume_info, name, 0);
    AT(containerv_volume_info, id, 8);
    AT(containerv_volume_info, path, 16);
    AT(containerv_volume_info, filesystem, 24);
    AT(containerv_volume_info, format, 32);
    AT(containerv_volume_info, state, 40);
    AT(containerv_volume_info, base, 48);
    AT(containerv_volume_info, type, 56);
    AT(containerv_volume_info, persistent, 60);
    AT(containerv_volume_info, in_use, 64);
    AT(containerv_volume_info, size_mb, 72);
    AT(containerv_volume_info, size_bytes, 80);
    AT(containerv_volume_info, used_bytes, 88);
    AT(containerv_volume_info, created_unix_ms, 96);
    AT(containerv_volume_info, reserved, 104);
    CHECK(sizeof(struct containerv_machine) == 48);
    AT(containerv_machine, name, 0);
    AT(containerv_machine, hcs_system_id, 8);
    AT(containerv_machine, hcs_schema, 16);
    AT(containerv_machine, qmp_socket, 24);
    AT(containerv_machine, agent_socket, 32);
    AT(containerv_machine, guest, 40);
    CHECK(sizeof(struct containerv_volume_snapshot) == 24);
    AT(containerv_volume_snapshot, name, 0);
    AT(containerv_volume_snapshot, created_unix_ms, 8);
    AT(containerv_volume_snapshot, used_bytes, 16);
}

static void constants_are_those_of_the_note(void)
{
    CHECK(CV_MOUNT_BIND == 0x1 && CV_MOUNT_RECURSIVE == 0x2);
    CHECK(CV_MOUNT_READONLY == 0x4 && CV_MOUNT_CREATE == 0x100);
    CHECK((int)WINDOWS_VOLUME_VHD == (int)NOTE_VHD);
    CHECK((int)WINDOWS_VOLUME_HOST_BIND == (int)NOTE_HOST_BIND);
    CHECK((int)WINDOWS_VOLUME_SMB_SHARE == (int)NOTE_SMB_SHARE);
    CHECK((int)WINDOWS_VOLUME_TMPFS == (int)NOTE_TMPFS);
    CHECK((int)WINDOWS_VOLUME_NAMED == (int)NOTE_NAMED);
    CHECK(sizeof(enum windows_volume_type) == 4);
    CHECK(CV_GUEST_LINUX == 0 && CV_GUEST_WINDOWS == 1);
    CHECK(CV_VOLUME_OK == 0 && CV_VOLUME_INVALID_ARGUMENT == 1 && CV_VOLUME_INTERNAL == 11);
    CHECK(CV_VOLUME_DENIED == 12);
    CHECK(CV_LOG_ERROR == 1 && CV_LOG_DEBUG == 4);
    CHECK(containerv_volume_abi() == CONTAINERV_VOLUME_ABI);
}

/* The compiler compares these with the header: what a program of the note calls has these types. */
static void signatures_are_those_of_the_note(void)
{
    int (*create)(const char *, uint64_t) = containerv_volume_create;
    int (*create_fs)(const char *, uint64_t, const char *) = containerv_volume_create_fs;
    int (*delete_it)(const char *) = containerv_volume_delete;
    int (*list)(struct containerv_volume_info **, int *) = containerv_volume_list;
    int (*inspect)(const char *, struct containerv_volume_info *) = containerv_volume_inspect;
    int (*create_vhd)(const char *, const char *, uint64_t, const char *) =
        containerv_volume_create_vhd;
    int (*attach_smb)(struct containerv_options *, const char *, const char *, const char *,
                      const char *) = containerv_volume_attach_smb_share;
    void (*set_driver)(struct containerv_options *, const char *) =
        containerv_options_set_volume_driver;
    void (*add_volume)(struct containerv_options *, const char *, const char *, const char *,
                       const char *) = containerv_options_add_volume;
    CHECK(create && create_fs && delete_it && list && inspect && create_vhd);
    CHECK(attach_smb && set_driver && add_volume);
}

/* Each field is read from where the header has it: each shows in the plan. */
static void fields_are_read_where_they_stand(const char *folder)
{
    struct containerv_windows_volume volume;
    struct containerv_mount mount;
    struct containerv_windows_mount_options windows;
    struct containerv_options *options;
    char *json = NULL;
    char target[] = "/from/volume", what[] = "C:\\from\\mount", where[] = "/from/mount";
    char path[] = "C:\\images\\one.vhdx", fs[] = "XFS", share[] = "fancyname";

    CHECK(containerv_volume_set_root(folder) == 0);
    options = containerv_volume_options_new(NULL);
    CHECK(options != NULL);
    memset(&volume, 0, sizeof volume);
    volume.type = WINDOWS_VOLUME_VHD;
    volume.source_path = path;
    volume.target_path = target;
    volume.volume_name = fs;
    volume.read_only = 1;
    volume.filesystem = fs;
    CHECK(containerv_volume_options_add(options, &volume) == 0);
    memset(&mount, 0, sizeof mount);
    mount.what = what;
    mount.where = where;
    mount.flags = CV_MOUNT_CREATE;
    memset(&windows, 0, sizeof windows);
    windows.type = WINDOWS_VOLUME_HOST_BIND;
    windows.share_name = share;
    CHECK(containerv_volume_options_add_mount(options, &mount, &windows) == 0);
    CHECK(containerv_volume_plan(options, CV_GUEST_LINUX, "steps", &json) == 0);
    CHECK(strstr(json, "/from/volume") != NULL);
    CHECK(strstr(json, "C:\\\\images\\\\one.vhdx") != NULL);
    CHECK(strstr(json, "\"file_system\":\"xfs\"") != NULL);
    CHECK(strstr(json, "\"read_only\":true") != NULL);
    CHECK(strstr(json, "/from/mount") != NULL);
    CHECK(strstr(json, "C:\\\\from\\\\mount") != NULL);
    CHECK(strstr(json, "\"share\":\"fancyname\"") != NULL);
    CHECK(strstr(json, "make-directory") != NULL);
    containerv_volume_string_free(json);
    CHECK(containerv_volume_options_delete(options) == 0);
    CHECK(containerv_volume_outstanding() == 0);
}

int main(int argc, char **argv)
{
    layouts_are_those_of_the_note();
    layouts_are_those_of_the_library();
    constants_are_those_of_the_note();
    signatures_are_those_of_the_note();
    fields_are_read_where_they_stand(folder_of(argc, argv));
    puts("abi: ok");
    return 0;
}
