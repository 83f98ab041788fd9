/* So many calls (10,000 where nothing is said), each kind in turn; a checker of memory counts what is
 * left. */
#include "check.h"

static unsigned long calls;

#define COUNTED(call) (calls++, (call))

static void settings(void)
{
    struct containerv_volume_manager *manager;

    CHECK(COUNTED(containerv_volume_version())[0] != '\0');
    manager = COUNTED(containerv_volume_manager_open("unused"));
    CHECK(COUNTED(containerv_volume_manager_close(manager)) == 0);
    CHECK(COUNTED(containerv_volume_manager_close(manager)) == -1);
}

static void mounts(void)
{
    struct containerv_options *options = COUNTED(containerv_volume_options_new(NULL));
    struct containerv_mount mount;
    struct containerv_options *theirs = (struct containerv_options *)(void *)&mount;
    char what[] = "C:\\src", where[] = "/src";
    char *text = NULL;

    memset(&mount, 0, sizeof mount);
    mount.what = what;
    mount.where = where;
    mount.flags = CV_MOUNT_CREATE;
    COUNTED(containerv_options_set_mounts(options, &mount, 1));
    COUNTED(containerv_options_add_volume(options, "C:\\a.vhdx", "/a", "vhd", "fs=ntfs"));
    CHECK(COUNTED(containerv_volume_attach_smb_share(options, "//s/d", "/d", "u", "p")) == 0);
    CHECK(COUNTED(containerv_volume_plan(options, CV_GUEST_LINUX, NULL, &text)) == 0);
    COUNTED(containerv_volume_string_free(text));
    CHECK(COUNTED(containerv_volume_guest_script(options, CV_GUEST_LINUX, &text)) == 0);
    COUNTED(containerv_volume_string_free(text));
    CHECK(COUNTED(containerv_volume_guest_input(options, CV_GUEST_LINUX, 3, &text)) == 0);
    COUNTED(containerv_volume_string_free(text));
    COUNTED(containerv_options_add_volume(options, "a", "/b", "floppy", NULL));
    CHECK(COUNTED(containerv_volume_options_check(options)) == -1);
    CHECK(COUNTED(containerv_volume_options_delete(options)) == 0);
    CHECK(COUNTED(containerv_volume_options_adopt(theirs, NULL)) == 0);
    CHECK(COUNTED(containerv_volume_options_delete(theirs)) == 0);
}

static void volumes(void)
{
    struct containerv_volume_info info;
    struct containerv_volume_info *list = NULL;
    struct containerv_volume_snapshot *snapshots = NULL;
    int count = 0;

    CHECK(COUNTED(containerv_volume_list(&list, &count)) == 0 && count == 1);
    COUNTED(containerv_volume_list_free(list));
    CHECK(COUNTED(containerv_volume_inspect("data", &info)) == 0);
    COUNTED(containerv_volume_info_free(&info));
    CHECK(COUNTED(containerv_volume_inspect("absent", &info)) == -1);
    CHECK(COUNTED(containerv_volume_snapshot_list(NULL, "data", &snapshots, &count)) == 0);
    CHECK(count == 1);
    COUNTED(containerv_volume_snapshot_list_free(snapshots));
}

int main(int argc, char **argv)
{
    unsigned long wanted = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
    unsigned long store_every = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
    unsigned long round;

    CHECK(containerv_volume_set_root(folder_of(argc, argv)) == 0);
    CHECK(containerv_volume_create("data", 16) == 0);
    CHECK(containerv_volume_snapshot_create(NULL, "data", "one") == 0);
    for (round = 0; calls < wanted; round++) {
        settings();
        mounts();
        if (round % store_every == 0) {
            volumes();
        }
        CHECK(containerv_volume_outstanding() == 0);
    }
    CHECK(containerv_volume_delete("data") == 0);
    /* Closes what is kept open for the next call. */
    CHECK(containerv_volume_set_root(NULL) == 0);
    CHECK(containerv_volume_outstanding() == 0);
    printf("leak: ok after %lu calls\n", calls);
    return 0;
}
