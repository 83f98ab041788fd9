/* containerv.h and this library's header in one program, in both of its versions (CONTAINERV_HAS_MOUNT):
 * the program's own functions of the same names are the ones that are called. */
#include "containerv.h"

#include "check.h"

static int own_calls;

/* As a drop-in has it: three arguments, handed on. */
int containerv_volume_create(const char *name, uint64_t size_mb, const char *filesystem)
{
    own_calls++;
    return containerv_volume_create_fs(name, size_mb, filesystem);
}

int main(int argc, char **argv)
{
    struct containerv_volume_info info;
    struct containerv_mount mount;

    CHECK(containerv_volume_set_root(folder_of(argc, argv)) == 0);
    CHECK(containerv_volume_create("data", 128, "FAT32") == 0);
    CHECK(own_calls == 1);
    CHECK(containerv_volume_inspect("data", &info) == 0);
    CHECK(strcmp(info.filesystem, "fat32") == 0);
    containerv_volume_info_free(&info);
    CHECK(containerv_volume_delete("data") == 0);
    memset(&mount, 0, sizeof mount);
    mount.flags = CV_MOUNT_BIND;
    CHECK(mount.flags == 1);
    puts("beside_containerv: ok");
    return 0;
}
