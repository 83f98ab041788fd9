/* What a container is to have: told, planned for Windows and Linux guests, made and removed. */
#ifndef _WIN32
#define _POSIX_C_SOURCE 200809L
#endif
#include "check.h"

#ifdef _WIN32
#include <direct.h>
#define chdir _chdir
#else
#include <unistd.h>
#endif

/* Stands for the struct that containerv has of its own, and that nobody here looks into. */
struct containerv_options {
    int filled;
    char rest[60];
};

static char *plan(struct containerv_options *options, enum containerv_guest guest,
                  const char *form)
{
    char *json = NULL;
    CHECK(containerv_volume_plan(options, guest, form, &json) == 0);
    CHECK(json != NULL && json[0] != '\0');
    return json;
}

#define HAS(json, text) CHECK(strstr((json), (text)) != NULL)
#define LACKS(json, text) CHECK(strstr((json), (text)) == NULL)

static void plans_tell_all_mounts(void)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);
    struct containerv_mount mounts[3];
    char directory[] = "C:\\src", target[] = "/src", image[] = "C:\\v\\a.vhdx", data[] = "/data";
    char ntfs[] = "ntfs", memory[] = "tmpfs", at[] = "/tmp/fast";
    char *json;

    CHECK(options != NULL);
    memset(mounts, 0, sizeof mounts);
    mounts[0].what = directory;
    mounts[0].where = target;
    mounts[0].flags = CV_MOUNT_BIND | CV_MOUNT_READONLY | CV_MOUNT_CREATE;
    mounts[1].what = image;
    mounts[1].where = data;
    mounts[1].fstype = ntfs;
    mounts[2].what = memory;
    mounts[2].where = at;
    mounts[2].fstype = memory;
    containerv_options_set_mounts(options, mounts, 3);
    CHECK(containerv_volume_options_check(options) == 0);
    CHECK(containerv_volume_attach_smb_share(options, "\\\\srv\\media", "/media", "HOME\\eve",
                                             "top-secret") == 0);

    json = plan(options, CV_GUEST_LINUX, "hcs-1");
    HAS(json, "MappedDirectories");
    HAS(json, "MappedVirtualDisks");
    HAS(json, "C:\\\\v\\\\a.vhdx");
    containerv_volume_string_free(json);
    json = plan(options, CV_GUEST_LINUX, NULL);
    HAS(json, "Plan9");
    HAS(json, "\"Add\"");
    HAS(json, "\"Remove\"");
    LACKS(json, "media");
    containerv_volume_string_free(json);
    json = plan(options, CV_GUEST_LINUX, "hcs-2.6");
    HAS(json, "AlwaysAllowSparseFiles");
    containerv_volume_string_free(json);
    json = plan(options, CV_GUEST_LINUX, "oci");
    HAS(json, "virtual-disk");
    HAS(json, "\"tmpfs\"");
    containerv_volume_string_free(json);
    json = plan(options, CV_GUEST_LINUX, "steps");
    HAS(json, "mount-smb");
    HAS(json, "HOME\\\\eve");
    LACKS(json, "top-secret");
    containerv_volume_string_free(json);
    /* Paths of a Windows host are none to QEMU, and it says so. */
    FAILS(containerv_volume_plan(options, CV_GUEST_LINUX, "steps-qemu", &json),
          CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    CHECK(json == NULL);

    CHECK(containerv_volume_guest_script(options, CV_GUEST_LINUX, &json) == 0);
    HAS(json, "\"mount\"");
    HAS(json, "credentials=/dev/stdin");
    HAS(json, "\"reads_credentials\":true");
    HAS(json, "\"number\":4");
    HAS(json, "tmpfs");
    LACKS(json, "top-secret");
    containerv_volume_string_free(json);
    CHECK(containerv_volume_guest_input(options, CV_GUEST_LINUX, 4, &json) == 0);
    CHECK(strcmp(json, "username=eve\ndomain=HOME\npassword=top-secret\n") == 0);
    containerv_volume_string_free(json);
    CHECK(containerv_volume_guest_input(options, CV_GUEST_WINDOWS, 4, &json) == 0);
    CHECK(strcmp(json, "HOME\\eve\r\ntop-secret\r\n") == 0);
    containerv_volume_string_free(json);
    FAILS(containerv_volume_guest_input(options, CV_GUEST_LINUX, 1, &json),
          CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    CHECK(containerv_volume_options_delete(options) == 0);
}

static void options_of_the_program_are_a_name(void)
{
    struct containerv_options theirs;
    struct containerv_options before;
    char *json;

    memset(&theirs, 0x5A, sizeof theirs);
    before = theirs;
    FAILS(containerv_volume_options_check(&theirs), CV_VOLUME_BAD_HANDLE, EBADF);
    CHECK(containerv_volume_options_adopt(&theirs, NULL) == 0);
    FAILS(containerv_volume_options_adopt(&theirs, NULL), CV_VOLUME_IN_USE, EBUSY);
    containerv_options_set_volume_driver(&theirs, "bind");
    containerv_options_add_volume(&theirs, "C:\\work", "C:\\work", NULL, "ro,create");
    CHECK(containerv_volume_options_check(&theirs) == 0);
    json = plan(&theirs, CV_GUEST_WINDOWS, "hcs-2.1");
    HAS(json, "VirtualSmb");
    containerv_volume_string_free(json);
    CHECK(containerv_volume_options_delete(&theirs) == 0);
    CHECK(memcmp(&theirs, &before, sizeof theirs) == 0);
    FAILS(containerv_volume_options_check(&theirs), CV_VOLUME_BAD_HANDLE, EBADF);
}

static void what_is_missing_is_made_and_what_is_not_to_stay_goes(const char *folder)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);
    struct containerv_volume_info info;
    char *image = path_in(folder, "made.vhdx");
    char *json = NULL;
    FILE *file;

    CHECK(options != NULL);
    containerv_options_add_volume(options, "keep", "/keep", "vhd", "size=64M,fs=NTFS");
    containerv_options_add_volume(options, "goes", "/goes", "named",
                                  "size=64M,fs=ntfs,persistent=false");
    containerv_options_add_volume(options, image, "/image", "vhd", "size=64M,persistent=false");
    CHECK(containerv_volume_options_check(options) == 0);
    FAILS(containerv_volume_plan(options, CV_GUEST_LINUX, "steps-qemu", &json),
          CV_VOLUME_NOT_FOUND, ENOENT);
    CHECK(containerv_volume_prepare(options) == 0);
    CHECK(containerv_volume_prepare(options) == 0);
    CHECK(containerv_volume_inspect("keep", &info) == 0 && info.persistent == 1);
    containerv_volume_info_free(&info);
    CHECK(containerv_volume_inspect("goes", &info) == 0 && info.persistent == 0);
    containerv_volume_info_free(&info);
    file = fopen(image, "rb");
    CHECK(file != NULL);
    fclose(file);
#ifndef _WIN32
    json = plan(options, CV_GUEST_LINUX, "steps-qemu");
    HAS(json, "serve-disk");
    containerv_volume_string_free(json);
#else
    json = plan(options, CV_GUEST_WINDOWS, "hcs-1");
    HAS(json, "made.vhdx");
    containerv_volume_string_free(json);
#endif
    CHECK(containerv_volume_release(options) == 0);
    CHECK(containerv_volume_release(options) == 0);
    FAILS(containerv_volume_inspect("goes", &info), CV_VOLUME_NOT_FOUND, ENOENT);
    CHECK(fopen(image, "rb") == NULL);
    CHECK(containerv_volume_delete("keep") == 0);
    CHECK(containerv_volume_options_delete(options) == 0);
    free(image);
}

/* An image beside the program has no path that tells it from the name of a volume. */
static void an_image_goes_and_a_volume_of_its_name_stays(const char *folder)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);
    struct containerv_windows_mount_options windows;
    struct containerv_volume_info info;
    struct containerv_mount mount;
    char name[] = "same.vhdx", target[] = "/same";
    char *image = path_in(folder, name);
    FILE *file;

    CHECK(options != NULL && chdir(folder) == 0);
    CHECK(containerv_volume_create(name, 16) == 0);
    memset(&mount, 0, sizeof mount);
    memset(&windows, 0, sizeof windows);
    mount.what = name;
    mount.where = target;
    windows.type = WINDOWS_VOLUME_VHD;
    windows.size_mb = 16;
    CHECK(containerv_volume_options_add_mount(options, &mount, &windows) == 0);
    CHECK(containerv_volume_prepare(options) == 0);
    file = fopen(image, "rb");
    CHECK(file != NULL);
    fclose(file);
    CHECK(chdir("..") == 0);
    CHECK(containerv_volume_release(options) == 0);
    CHECK(fopen(image, "rb") == NULL);
    CHECK(containerv_volume_inspect(name, &info) == 0);
    containerv_volume_info_free(&info);
    CHECK(containerv_volume_delete(name) == 0);
    CHECK(containerv_volume_options_delete(options) == 0);
    free(image);
}

static void named_volumes_may_stand_for_other_things(void)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);
    struct containerv_volume_info info;
    char *json = NULL;

    CHECK(containerv_volume_create_in(NULL, "memory", "kind=tmpfs,size=16M") == 0);
    CHECK(containerv_volume_inspect("memory", &info) == 0);
    CHECK(info.type == WINDOWS_VOLUME_TMPFS && info.format == NULL && info.path == NULL);
    containerv_volume_info_free(&info);
    containerv_options_add_volume(options, "memory", "/fast", "named", NULL);
    json = plan(options, CV_GUEST_LINUX, NULL);
    LACKS(json, "memory");
    containerv_volume_string_free(json);
    CHECK(containerv_volume_guest_script(options, CV_GUEST_LINUX, &json) == 0);
    HAS(json, "size=16777216");
    containerv_volume_string_free(json);
    FAILS(containerv_volume_guest_input(options, CV_GUEST_LINUX, 1, &json),
          CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    CHECK(containerv_volume_options_delete(options) == 0);
    CHECK(containerv_volume_delete("memory") == 0);
}

static void what_a_machine_cannot_do_is_named(void)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);
    char *json = NULL;

    containerv_options_add_volume(options, "C:\\v.vhdx", "/d", "vhd", "fs=refs");
    FAILS(containerv_volume_plan(options, CV_GUEST_LINUX, NULL, &json), CV_VOLUME_UNSUPPORTED,
          ENOTSUP);
    HAS(containerv_volume_last_error(), "/d");
    CHECK(containerv_volume_options_delete(options) == 0);
}

int main(int argc, char **argv)
{
    const char *folder = folder_of(argc, argv);
    char *root = path_in(folder, "store");

    CHECK(containerv_volume_set_root(root) == 0);
    plans_tell_all_mounts();
    options_of_the_program_are_a_name();
    what_is_missing_is_made_and_what_is_not_to_stay_goes(folder);
    an_image_goes_and_a_volume_of_its_name_stays(folder);
    named_volumes_may_stand_for_other_things();
    what_a_machine_cannot_do_is_named();
    CHECK(containerv_volume_set_root(NULL) == 0);
    CHECK(containerv_volume_outstanding() == 0);
    free(root);
    puts("mounts: ok");
    return 0;
}
