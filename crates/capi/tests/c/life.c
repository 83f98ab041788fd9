/* A volume from its making to its end, through every function that has to do with it. */
#include "check.h"

struct told {
    int lines;
    int errors;
    int nested;
};

static void on_log(int level, const char *message, void *user)
{
    struct told *told = user;
    struct containerv_volume_info info;

    told->lines++;
    if (level == CV_LOG_ERROR) {
        told->errors++;
    }
    CHECK(message[0] != '\0');
    /* A callback may call again, and is not called for what it calls. */
    if (containerv_volume_inspect("no-such-volume", &info) == -1) {
        told->nested++;
    }
    CHECK(containerv_volume_set_log(NULL, NULL, CV_LOG_DEBUG) == -1);
    CHECK(errno == EBUSY);
}

static int stop(uint64_t done, uint64_t total, void *user)
{
    (void)done;
    (void)total;
    (*(int *)user)++;
    return 1;
}

static int go_on(uint64_t done, uint64_t total, void *user)
{
    struct containerv_volume_info *list = NULL;
    int count = 0;

    (void)total;
    (void)done;
    /* The same store, from within its own work. */
    CHECK(containerv_volume_list(&list, &count) == 0);
    containerv_volume_list_free(list);
    (*(int *)user)++;
    return 0;
}

static void makes_and_lists(void)
{
    struct containerv_volume_info *list = NULL;
    struct containerv_volume_info info;
    int count = -1;

    CHECK(containerv_volume_list(&list, &count) == 0);
    CHECK(list == NULL && count == 0);
    CHECK(containerv_volume_create("data", 64) == 0);
    CHECK(containerv_volume_last_error_code() == CV_VOLUME_OK);
    FAILS(containerv_volume_create("data", 64), CV_VOLUME_ALREADY_EXISTS, EEXIST);
    CHECK(containerv_volume_create_fs("fat", 128, "FAT32") == 0);
    CHECK(containerv_volume_create_in(NULL, "blank", "size=16M,fs=none,persistent=false") == 0);

    CHECK(containerv_volume_list(&list, &count) == 0);
    CHECK(count == 3);
    CHECK(strcmp(list[0].name, "blank") == 0 && list[0].persistent == 0);
    CHECK(strcmp(list[1].name, "data") == 0 && list[1].persistent == 1);
    CHECK(strcmp(list[2].filesystem, "fat32") == 0 && list[2].size_mb == 128);
    /* An item of a list is not given back by itself. */
    containerv_volume_info_free(&list[1]);
    CHECK(strcmp(list[1].name, "data") == 0);
    containerv_volume_list_free(list);
    containerv_volume_list_free(list);

    CHECK(containerv_volume_list_in(NULL, "name=dat", &list, &count) == 0);
    containerv_volume_list_free(list);
    FAILS(containerv_volume_list_in(NULL, "nonsense=1", &list, &count),
          CV_VOLUME_INVALID_ARGUMENT, EINVAL);

    CHECK(containerv_volume_inspect("data", &info) == 0);
    CHECK(strcmp(info.name, "data") == 0 && strlen(info.id) == 36);
    CHECK(strcmp(info.filesystem, "ntfs") == 0 && strcmp(info.format, "vhdx") == 0);
    CHECK(strcmp(info.state, "ready") == 0 && info.base == NULL);
    CHECK(info.size_mb == 64 && info.size_bytes == UINT64_C(64) << 20);
    CHECK(info.used_bytes > 0 && info.created_unix_ms > UINT64_C(1600000000000));
    CHECK(info.type == WINDOWS_VOLUME_VHD && info.in_use == 0);
    CHECK(strstr(info.path, ".vhdx") != NULL);
    /* What the caller writes into its texts is the caller's business. */
    info.name[0] = '\0';
    containerv_volume_info_free(&info);
    CHECK(info.name == NULL && info.reserved == NULL);
    containerv_volume_info_free(&info);
    FAILS(containerv_volume_inspect("absent", &info), CV_VOLUME_NOT_FOUND, ENOENT);
    CHECK(info.name == NULL);
}

static void snapshots_and_clones(void)
{
    struct containerv_volume_snapshot *list = NULL;
    struct containerv_volume_info info;
    int count = -1;

    CHECK(containerv_volume_snapshot_list(NULL, "data", &list, &count) == 0);
    CHECK(list == NULL && count == 0);
    CHECK(containerv_volume_snapshot_create(NULL, "data", "one") == 0);
    CHECK(containerv_volume_snapshot_create(NULL, "data", "two") == 0);
    FAILS(containerv_volume_snapshot_create(NULL, "data", "two"), CV_VOLUME_ALREADY_EXISTS,
          EEXIST);
    CHECK(containerv_volume_snapshot_list(NULL, "data", &list, &count) == 0);
    CHECK(count == 2 && strcmp(list[0].name, "one") == 0 && strcmp(list[1].name, "two") == 0);
    CHECK(list[0].created_unix_ms > UINT64_C(1600000000000));
    containerv_volume_snapshot_list_free(list);
    containerv_volume_snapshot_list_free(list);

    CHECK(containerv_volume_clone(NULL, "data@one", "copy", "size=96M") == 0);
    CHECK(containerv_volume_inspect("copy", &info) == 0);
    CHECK(strcmp(info.base, "data@one") == 0 && info.size_mb == 96);
    containerv_volume_info_free(&info);
    FAILS(containerv_volume_delete("data"), CV_VOLUME_IN_USE, EBUSY);
    FAILS(containerv_volume_snapshot_delete(NULL, "data", "one"), CV_VOLUME_IN_USE, EBUSY);
    CHECK(containerv_volume_delete("copy") == 0);
    CHECK(containerv_volume_snapshot_restore(NULL, "data", "one") == 0);
    CHECK(containerv_volume_snapshot_delete(NULL, "data", "two") == 0);
    CHECK(containerv_volume_snapshot_delete(NULL, "data", "one") == 0);
    FAILS(containerv_volume_snapshot_restore(NULL, "data", "one"), CV_VOLUME_NOT_FOUND, ENOENT);
}

static void sizes(void)
{
    struct containerv_volume_info info;
    uint64_t freed = 77;

    CHECK(containerv_volume_resize(NULL, "data", 128) == 0);
    CHECK(containerv_volume_inspect("data", &info) == 0);
    CHECK(info.size_mb == 128);
    containerv_volume_info_free(&info);
    FAILS(containerv_volume_resize(NULL, "data", 4), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    CHECK(containerv_volume_compact(NULL, "data", &freed) == 0);
    CHECK(freed != 77);
    CHECK(containerv_volume_compact(NULL, "data", NULL) == 0);
}

static void images(const char *folder)
{
    char *vhdx = path_in(folder, "image.vhdx");
    char *vhd = path_in(folder, "image.vhd");
    char *far = path_in(folder, "no/such/folder.vhdx");

    CHECK(containerv_volume_create_vhd("Label", vhdx, 64, "NTFS") == 0);
    FAILS(containerv_volume_create_vhd("Label", vhdx, 64, NULL), CV_VOLUME_ALREADY_EXISTS, EEXIST);
    CHECK(containerv_volume_create_vhd(NULL, vhd, 64, NULL) == 0);
    FAILS(containerv_volume_create_vhd(NULL, far, 64, NULL), CV_VOLUME_NOT_FOUND, ENOENT);
    CHECK(containerv_volume_create_vhd("stored", NULL, 64, NULL) == 0);
    CHECK(containerv_volume_delete("stored") == 0);
    free(vhdx);
    free(vhd);
    free(far);
}

static void callbacks(void)
{
    struct told told = {0, 0, 0};
    struct containerv_volume_info info;
    int calls = 0;

    CHECK(containerv_volume_set_log(on_log, &told, CV_LOG_DEBUG) == 0);
    CHECK(containerv_volume_create("told", 64) == 0);
    FAILS(containerv_volume_create("told", 64), CV_VOLUME_ALREADY_EXISTS, EEXIST);
    CHECK(containerv_volume_set_log(NULL, NULL, CV_LOG_DEBUG) == 0);
    CHECK(told.lines >= 3 && told.errors == 1 && told.nested == told.lines);

    containerv_volume_set_progress(stop, &calls);
    FAILS(containerv_volume_create("stopped", 64), CV_VOLUME_INTERRUPTED, ECANCELED);
    CHECK(calls == 1);
    FAILS(containerv_volume_inspect("stopped", &info), CV_VOLUME_NOT_FOUND, ENOENT);
    containerv_volume_set_progress(go_on, &calls);
    CHECK(containerv_volume_create("stopped", 64) == 0);
    CHECK(calls > 1);
    containerv_volume_set_progress(NULL, NULL);
    CHECK(containerv_volume_delete("stopped") == 0);
    CHECK(containerv_volume_delete("told") == 0);
}

static void other_stores(const char *folder)
{
    char *root = path_in(folder, "other");
    struct containerv_volume_manager *manager = containerv_volume_manager_open(root);
    struct containerv_volume_info *list = NULL;
    struct containerv_volume_info info;
    int count = 0;

    CHECK(manager != NULL);
    CHECK(containerv_volume_create_in(manager, "only-here", "size=64M") == 0);
    CHECK(containerv_volume_list_in(manager, NULL, &list, &count) == 0);
    CHECK(count == 1 && strcmp(list->name, "only-here") == 0);
    /* A list outlives the manager that it came from. */
    CHECK(containerv_volume_manager_close(manager) == 0);
    CHECK(strcmp(list->name, "only-here") == 0);
    containerv_volume_list_free(list);
    FAILS(containerv_volume_inspect("only-here", &info), CV_VOLUME_NOT_FOUND, ENOENT);
    manager = containerv_volume_manager_open(root);
    CHECK(containerv_volume_inspect_in(manager, "only-here", &info) == 0);
    containerv_volume_info_free(&info);
    CHECK(containerv_volume_delete_in(manager, "only-here", 0) == 0);
    CHECK(containerv_volume_manager_close(manager) == 0);
    free(root);
}

int main(int argc, char **argv)
{
    const char *folder = folder_of(argc, argv);
    char *root = path_in(folder, "store");

    CHECK(containerv_volume_set_root(root) == 0);
    makes_and_lists();
    snapshots_and_clones();
    sizes();
    images(folder);
    callbacks();
    other_stores(folder);
    CHECK(containerv_volume_delete("data") == 0);
    CHECK(containerv_volume_delete("fat") == 0);
    CHECK(containerv_volume_delete("blank") == 0);
    CHECK(containerv_volume_set_root(NULL) == 0);
    CHECK(containerv_volume_outstanding() == 0);
    free(root);
    puts("life: ok");
    return 0;
}
