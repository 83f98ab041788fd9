/* What makes no sense is refused with a code, an errno and a sentence, and nothing else happens. */
#include "check.h"

#define INVALID CV_VOLUME_INVALID_ARGUMENT, EINVAL
#define CLOSED CV_VOLUME_BAD_HANDLE, EBADF

static void null_everywhere(void)
{
    struct containerv_volume_info info;
    struct containerv_volume_info *list = NULL;
    struct containerv_volume_snapshot *snapshots = NULL;
    int count = 0;
    char *text = NULL;

    FAILS(containerv_volume_create(NULL, 64), INVALID);
    FAILS(containerv_volume_create_fs(NULL, 64, NULL), INVALID);
    FAILS(containerv_volume_create_in(NULL, NULL, NULL), INVALID);
    FAILS(containerv_volume_create_vhd(NULL, NULL, 64, NULL), INVALID);
    FAILS(containerv_volume_delete(NULL), INVALID);
    FAILS(containerv_volume_delete_in(NULL, NULL, 0), INVALID);
    FAILS(containerv_volume_list(NULL, &count), INVALID);
    FAILS(containerv_volume_list(&list, NULL), INVALID);
    FAILS(containerv_volume_list_in(NULL, NULL, NULL, NULL), INVALID);
    FAILS(containerv_volume_inspect(NULL, &info), INVALID);
    CHECK(info.name == NULL && info.size_mb == 0 && info.reserved == NULL);
    FAILS(containerv_volume_inspect("a", NULL), INVALID);
    FAILS(containerv_volume_inspect_in(NULL, NULL, NULL), INVALID);
    FAILS(containerv_volume_snapshot_create(NULL, NULL, NULL), INVALID);
    FAILS(containerv_volume_snapshot_create(NULL, "a", NULL), INVALID);
    FAILS(containerv_volume_snapshot_restore(NULL, NULL, "s"), INVALID);
    FAILS(containerv_volume_snapshot_delete(NULL, NULL, NULL), INVALID);
    FAILS(containerv_volume_snapshot_list(NULL, NULL, &snapshots, &count), INVALID);
    FAILS(containerv_volume_snapshot_list(NULL, "a", NULL, &count), INVALID);
    FAILS(containerv_volume_clone(NULL, NULL, NULL, NULL), INVALID);
    FAILS(containerv_volume_clone(NULL, "a", NULL, NULL), INVALID);
    FAILS(containerv_volume_resize(NULL, NULL, 64), INVALID);
    FAILS(containerv_volume_compact(NULL, NULL, NULL), INVALID);
    FAILS(containerv_volume_options_adopt(NULL, NULL), INVALID);
    FAILS(containerv_volume_options_check(NULL), INVALID);
    FAILS(containerv_volume_options_add(NULL, NULL), INVALID);
    FAILS(containerv_volume_options_add_mount(NULL, NULL, NULL), INVALID);
    FAILS(containerv_volume_attach_smb_share(NULL, NULL, NULL, NULL, NULL), INVALID);
    FAILS(containerv_volume_prepare(NULL), INVALID);
    FAILS(containerv_volume_release(NULL), INVALID);
    FAILS(containerv_volume_plan(NULL, CV_GUEST_LINUX, NULL, &text), INVALID);
    FAILS(containerv_volume_plan(NULL, CV_GUEST_LINUX, NULL, NULL), INVALID);
    FAILS(containerv_volume_guest_script(NULL, CV_GUEST_LINUX, NULL), INVALID);
    FAILS(containerv_volume_guest_input(NULL, CV_GUEST_LINUX, 1, NULL), INVALID);
    CHECK(list == NULL && snapshots == NULL && text == NULL && count == 0);

    containerv_options_add_volume(NULL, NULL, NULL, NULL, NULL);
    CHECK(containerv_volume_last_error_code() == CV_VOLUME_INVALID_ARGUMENT);
    containerv_options_set_mounts(NULL, NULL, 3);
    CHECK(containerv_volume_last_error_code() == CV_VOLUME_INVALID_ARGUMENT);
    containerv_options_set_volume_driver(NULL, NULL);
    CHECK(containerv_volume_last_error_code() == CV_VOLUME_INVALID_ARGUMENT);

    containerv_volume_list_free(NULL);
    containerv_volume_info_free(NULL);
    containerv_volume_string_free(NULL);
    containerv_volume_snapshot_list_free(NULL);
    containerv_volume_set_progress(NULL, NULL);
    CHECK(containerv_volume_set_log(NULL, NULL, CV_LOG_ERROR) == 0);
    CHECK(containerv_volume_manager_close(NULL) == 0);
    CHECK(containerv_volume_options_delete(NULL) == 0);
}

static void texts_that_are_none(void)
{
    static const char wrong[] = "da\xC3(ta";
    char *longest = malloc((2 << 20) + 1);

    FAILS(containerv_volume_create(wrong, 64), INVALID);
    CHECK(strstr(containerv_volume_last_error(), "name is not UTF-8: byte 3") != NULL);
    FAILS(containerv_volume_create_fs("one", 64, wrong), INVALID);
    FAILS(containerv_volume_delete(wrong), INVALID);
    FAILS(containerv_volume_create_vhd("one", wrong, 64, NULL), INVALID);
    CHECK(containerv_volume_manager_open(wrong) == NULL);
    CHECK(containerv_volume_manager_open("") == NULL);
    FAILS(containerv_volume_set_root(""), INVALID);
    FAILS(containerv_volume_create("", 64), INVALID);
    FAILS(containerv_volume_create("../up", 64), INVALID);
    FAILS(containerv_volume_create("con", 64), INVALID);
    FAILS(containerv_volume_snapshot_create(NULL, "a@b", "c"), INVALID);
    CHECK(longest != NULL);
    memset(longest, 'a', 2 << 20);
    longest[2 << 20] = '\0';
    FAILS(containerv_volume_create(longest, 64), INVALID);
    free(longest);
}

/* A file system that holds a comma was once taken for an option of its own: a volume went away with its
 * container, and had a label that nobody gave it. */
static void file_systems_that_hold_options(void)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);
    struct containerv_windows_mount_options windows;
    struct containerv_windows_volume volume;
    struct containerv_volume_info *list = NULL;
    struct containerv_mount mount;
    char path[] = "/images/one.vhdx", target[] = "/data", more[] = "ntfs,label=other";
    int count = 7;

    CHECK(options != NULL);
    FAILS(containerv_volume_create_fs("one", 64, "ntfs,persistent=false"), INVALID);
    FAILS(containerv_volume_create_fs("one", 64, ","), INVALID);
    FAILS(containerv_volume_create_vhd("one", NULL, 64, more), INVALID);
    FAILS(containerv_volume_create_vhd(NULL, path, 64, more), INVALID);
    memset(&volume, 0, sizeof volume);
    volume.source_path = path;
    volume.target_path = target;
    volume.size_mb = 64;
    volume.filesystem = more;
    FAILS(containerv_volume_options_add(options, &volume), INVALID);
    memset(&mount, 0, sizeof mount);
    memset(&windows, 0, sizeof windows);
    mount.what = path;
    mount.where = target;
    windows.size_mb = 64;
    windows.filesystem = more;
    FAILS(containerv_volume_options_add_mount(options, &mount, &windows), INVALID);
    CHECK(containerv_volume_list(&list, &count) == 0 && list == NULL && count == 0);
    CHECK(containerv_volume_options_delete(options) == 0);
}

static void flags_that_are_none(void)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);
    struct containerv_windows_mount_options windows;
    struct containerv_mount mount;
    char source[] = "data", target[] = "/data";

    CHECK(options != NULL);
    memset(&mount, 0, sizeof mount);
    memset(&windows, 0, sizeof windows);
    mount.what = source;
    mount.where = target;
    mount.flags = CV_MOUNT_READONLY | 0x200;
    windows.type = WINDOWS_VOLUME_NAMED;
    FAILS(containerv_volume_options_add_mount(options, &mount, NULL), INVALID);
    /* The second struct once had them passed over. */
    FAILS(containerv_volume_options_add_mount(options, &mount, &windows), INVALID);
    CHECK(strstr(containerv_volume_last_error(), "0x200") != NULL);
    mount.flags = CV_MOUNT_READONLY;
    windows.type = (enum windows_volume_type)-1;
    FAILS(containerv_volume_options_add_mount(options, &mount, &windows), INVALID);
    windows.type = (enum windows_volume_type)5;
    FAILS(containerv_volume_options_add_mount(options, &mount, &windows), INVALID);
    CHECK(containerv_volume_options_delete(options) == 0);
}

/* As many as are taken, and one more; planned, and gone again. */
static void more_mounts_than_any_container_has(void)
{
    enum { MOST = 10000, LENGTH = 16 };
    struct containerv_options *options = containerv_volume_options_new(NULL);
    struct containerv_mount *mounts = calloc(MOST + 1, sizeof *mounts);
    char *targets = malloc((MOST + 1) * LENGTH), memory[] = "tmpfs", *json = NULL;
    int number;

    CHECK(options != NULL && mounts != NULL && targets != NULL);
    for (number = 0; number <= MOST; number++) {
        mounts[number].where = targets + number * LENGTH;
        mounts[number].fstype = memory;
        snprintf(mounts[number].where, LENGTH, "/t/%d", number);
    }
    containerv_options_set_mounts(options, mounts, MOST);
    CHECK(containerv_volume_options_check(options) == 0);
    CHECK(containerv_volume_plan(options, CV_GUEST_LINUX, "steps", &json) == 0);
    CHECK(strstr(json, "/t/9999") != NULL);
    containerv_volume_string_free(json);
    containerv_options_set_mounts(options, mounts, MOST + 1);
    CHECK(containerv_volume_last_error_code() == CV_VOLUME_INVALID_ARGUMENT);
    CHECK(containerv_volume_options_delete(options) == 0);
    free(targets);
    free(mounts);
}

static void numbers_that_are_none(void)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);
    char *text = NULL;

    CHECK(options != NULL);
    FAILS(containerv_volume_create("one", UINT64_MAX), INVALID);
    FAILS(containerv_volume_create("one", 1), INVALID);
    FAILS(containerv_volume_resize(NULL, "a", 0), INVALID);
    FAILS(containerv_volume_resize(NULL, "a", UINT64_MAX), INVALID);
#ifdef _WIN32
    /* Windows itself makes it, and not so small; what it says differs. */
    CHECK(containerv_volume_create_fs("one", 64, "ReFS") == -1);
#else
    FAILS(containerv_volume_create_fs("one", 64, "ReFS"), CV_VOLUME_UNSUPPORTED, ENOTSUP);
#endif
    FAILS(containerv_volume_create_fs("one", 64, "floppy"), INVALID);
    FAILS(containerv_volume_plan(options, (enum containerv_guest)7, NULL, &text), INVALID);
    FAILS(containerv_volume_plan(options, CV_GUEST_LINUX, "hcs-9.9", &text), INVALID);
    FAILS(containerv_volume_guest_input(options, CV_GUEST_LINUX, 0, &text), INVALID);
    FAILS(containerv_volume_guest_input(options, CV_GUEST_LINUX, -1, &text), INVALID);
    FAILS(containerv_volume_guest_input(options, CV_GUEST_LINUX, 1, &text), INVALID);
    CHECK(containerv_volume_options_delete(options) == 0);
}

static void log_levels_that_are_none(void)
{
    /* Never called: the level is refused before. */
    containerv_volume_log_fn nobody = (containerv_volume_log_fn)0;
    CHECK(containerv_volume_set_log(nobody, NULL, (enum containerv_volume_log_level)99) == 0);
}

static void handles_that_are_closed(void)
{
    struct containerv_volume_manager *manager = containerv_volume_manager_open("unused");
    struct containerv_options *options = containerv_volume_options_new(manager);
    struct containerv_volume_info *list = NULL;
    int count = 7;
    char *text = NULL;
    int local[4] = {0, 0, 0, 0};

    CHECK(manager != NULL && options != NULL);
    CHECK(containerv_volume_options_delete(options) == 0);
    FAILS(containerv_volume_options_delete(options), CLOSED);
    FAILS(containerv_volume_options_check(options), CLOSED);
    FAILS(containerv_volume_plan(options, CV_GUEST_LINUX, NULL, &text), CLOSED);
    containerv_options_add_volume(options, "a", "/a", NULL, NULL);
    CHECK(containerv_volume_last_error_code() == CV_VOLUME_BAD_HANDLE);
    /* One kind of handle is none of the other. */
    options = containerv_volume_options_new(manager);
    FAILS(containerv_volume_manager_close((struct containerv_volume_manager *)(void *)options),
          CLOSED);
    FAILS(containerv_volume_options_delete((struct containerv_options *)(void *)manager), CLOSED);
    CHECK(containerv_volume_options_delete(options) == 0);
    CHECK(containerv_volume_manager_close(manager) == 0);
    FAILS(containerv_volume_manager_close(manager), CLOSED);
    FAILS(containerv_volume_list_in(manager, NULL, &list, &count), CLOSED);
    CHECK(list == NULL && count == 0);
    CHECK(containerv_volume_options_new(manager) == NULL);
    /* What never was a handle is none. */
    FAILS(containerv_volume_delete_in((struct containerv_volume_manager *)(void *)local, "a", 0),
          CLOSED);
    FAILS(containerv_volume_options_check((struct containerv_options *)(void *)local), CLOSED);
    containerv_volume_list_free((struct containerv_volume_info *)(void *)local);
    containerv_volume_string_free((char *)local);
    CHECK(local[0] == 0 && local[3] == 0);
}

static void options_keep_their_first_error(void)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);
    struct containerv_mount mounts[2];
    char source[] = "/srv", target[] = "/data";
    char *text = NULL;

    CHECK(options != NULL);
    memset(mounts, 0, sizeof mounts);
    mounts[0].what = mounts[1].what = source;
    mounts[0].where = target;
    /* The target of the second is NULL. */
    containerv_options_set_mounts(options, mounts, 2);
    CHECK(containerv_volume_last_error_code() == CV_VOLUME_INVALID_ARGUMENT);
    containerv_options_add_volume(options, "data", "/d", "floppy", NULL);
    containerv_options_add_volume(options, "data", "/d", "bind", NULL);
    CHECK(containerv_volume_last_error_code() == CV_VOLUME_OK);
    FAILS(containerv_volume_options_check(options), INVALID);
    CHECK(strcmp(containerv_volume_last_error(), "where is NULL") == 0);
    FAILS(containerv_volume_plan(options, CV_GUEST_LINUX, "steps", &text), INVALID);
    FAILS(containerv_volume_prepare(options), INVALID);
    CHECK(containerv_volume_options_delete(options) == 0);
}

static void rows_that_are_none(void)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);
    struct containerv_mount mount;

    CHECK(options != NULL);
    memset(&mount, 0, sizeof mount);
    containerv_options_set_mounts(options, NULL, 0);
    CHECK(containerv_volume_options_check(options) == 0);
    containerv_options_set_mounts(options, &mount, -1);
    CHECK(containerv_volume_last_error_code() == CV_VOLUME_INVALID_ARGUMENT);
    CHECK(containerv_volume_options_delete(options) == 0);
}

static void passwords_that_cannot_be_told(void)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);
    const char *share = "//srv/data";

    CHECK(options != NULL);
    FAILS(containerv_volume_attach_smb_share(options, share, "/d", "u", "two\nlines"), INVALID);
    FAILS(containerv_volume_attach_smb_share(options, share, "/d", "u\n", "p"), INVALID);
    FAILS(containerv_volume_attach_smb_share(options, share, "/d", NULL, "p"), INVALID);
    FAILS(containerv_volume_attach_smb_share(options, "", "/d", "u", "p"), INVALID);
    CHECK(strstr(containerv_volume_last_error(), "two") == NULL);
    /* An error that was returned is not kept. */
    CHECK(containerv_volume_options_check(options) == 0);
    CHECK(containerv_volume_options_delete(options) == 0);
}

int main(int argc, char **argv)
{
    CHECK(containerv_volume_set_root(folder_of(argc, argv)) == 0);
    null_everywhere();
    texts_that_are_none();
    file_systems_that_hold_options();
    flags_that_are_none();
    more_mounts_than_any_container_has();
    numbers_that_are_none();
    log_levels_that_are_none();
    handles_that_are_closed();
    options_keep_their_first_error();
    rows_that_are_none();
    passwords_that_cannot_be_told();
    CHECK(containerv_volume_set_root(NULL) == 0);
    CHECK(containerv_volume_outstanding() == 0);
    puts("bad_input: ok");
    return 0;
}
