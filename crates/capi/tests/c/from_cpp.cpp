// The header in C++: compiled with all warnings, linked, called.
#include <containerv_volume.h>

#include <cstdio>
#include <cstring>

int main(int argc, char **argv)
{
    if (argc < 2 || containerv_volume_set_root(argv[1]) != 0) {
        return 2;
    }
    containerv_mount mount = {};
    mount.flags = CV_MOUNT_BIND | CV_MOUNT_READONLY;
    containerv_windows_volume volume = {};
    volume.type = WINDOWS_VOLUME_TMPFS;
    char target[] = "/tmp/fast";
    volume.target_path = target;
    containerv_options *options = containerv_volume_options_new(nullptr);
    char what[] = "C:\\src", where[] = "/src";
    mount.what = what;
    mount.where = where;
    if (containerv_volume_options_add(options, &volume) != 0
        || containerv_volume_options_add_mount(options, &mount, nullptr) != 0) {
        return 3;
    }
    char *json = nullptr;
    if (containerv_volume_plan(options, CV_GUEST_LINUX, "steps", &json) != 0) {
        std::fprintf(stderr, "%s\n", containerv_volume_last_error());
        return 4;
    }
    const bool told = std::strstr(json, "mount-memory") != nullptr;
    containerv_volume_string_free(json);
    containerv_volume_options_delete(options);
    std::puts("from_cpp: ok");
    return told && containerv_volume_outstanding() == 0 ? 0 : 5;
}
