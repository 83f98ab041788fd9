// The header in C++: compiled with all warnings, linked, and used as C++ does it: what is handed out belongs to
// an object that gives it back, also where an exception passes.
#include <containerv_volume.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

// What the last call of this thread failed with.
struct Failure : std::runtime_error {
    containerv_volume_code code;

    Failure()
        : std::runtime_error(containerv_volume_last_error()),
          code(containerv_volume_last_error_code())
    {
    }
};

void check(int result)
{
    if (result != 0) {
        throw Failure();
    }
}

struct Giver {
    void operator()(containerv_volume_manager *manager) const
    {
        containerv_volume_manager_close(manager);
    }
    void operator()(containerv_options *options) const
    {
        containerv_volume_options_delete(options);
    }
    void operator()(containerv_volume_info *list) const { containerv_volume_list_free(list); }
    void operator()(char *text) const { containerv_volume_string_free(text); }
};

template <typename T>
using Held = std::unique_ptr<T, Giver>;

Held<containerv_options> with_mounts(containerv_volume_manager *manager)
{
    Held<containerv_options> options(containerv_volume_options_new(manager));
    char target[] = "/tmp/fast", what[] = "C:\\src", where[] = "/src";
    containerv_windows_volume volume = {};
    volume.type = WINDOWS_VOLUME_TMPFS;
    volume.target_path = target;
    check(containerv_volume_options_add(options.get(), &volume));
    containerv_mount mount = {};
    mount.flags = CV_MOUNT_BIND | CV_MOUNT_READONLY;
    mount.what = what;
    mount.where = where;
    check(containerv_volume_options_add_mount(options.get(), &mount, nullptr));
    return options;
}

void run(const char *root)
{
    Held<containerv_volume_manager> manager(containerv_volume_manager_open(root));
    check(containerv_volume_create_in(manager.get(), "data", "size=16M"));
    containerv_volume_info *volumes = nullptr;
    int count = 0;
    check(containerv_volume_list_in(manager.get(), nullptr, &volumes, &count));
    Held<containerv_volume_info> list(volumes);
    if (count != 1 || std::string(list->name) != "data") {
        throw std::logic_error("it lists another volume");
    }
    Held<containerv_options> options = with_mounts(manager.get());
    char *json = nullptr;
    check(containerv_volume_plan(options.get(), CV_GUEST_LINUX, "steps", &json));
    Held<char> text(json);
    if (std::strstr(text.get(), "mount-memory") == nullptr) {
        throw std::logic_error("it plans something else");
    }
    // With all of them held.
    check(containerv_volume_delete_in(manager.get(), "absent", 0));
}

} // namespace

int main(int argc, char **argv)
{
    if (argc < 2) {
        return 2;
    }
    try {
        run(argv[1]);
    } catch (const Failure &failure) {
        if (failure.code == CV_VOLUME_NOT_FOUND && containerv_volume_outstanding() == 0) {
            std::puts("from_cpp: ok");
            return 0;
        }
        std::fprintf(stderr, "%s\n", failure.what());
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
    }
    return 1;
}
