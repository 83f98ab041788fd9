/* Brings a volume into a machine that runs, and takes it away again.
 *
 *     cvol --root STORE vm run --name web --detach
 *     ./attach STORE web up /data
 *     cvol --root STORE vm exec web -- ls /data
 *     ./attach STORE web down
 *
 * A machine that cvol did not start is told by its sockets, or by the name of its compute system: see
 * struct containerv_machine. Disks for QEMU are served by the command cvol, from the path or CVOL_PROGRAM.
 */
#include <stdio.h>
#include <string.h>

#include <containerv_volume.h>

static int failed(const char *what)
{
    fprintf(stderr, "cannot %s: %s\n", what, containerv_volume_last_error());
    return 1;
}

static int up(char *name, const char *target)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);
    struct containerv_machine machine;
    uint64_t attachment;
    char *attached;

    if (options == NULL) {
        return failed("make options");
    }
    /* Made where it is missing. */
    containerv_options_add_volume(options, "data", target, "named", "size=64M,fs=ntfs");
    memset(&machine, 0, sizeof machine);
    machine.name = name;
    machine.guest = CV_GUEST_LINUX;
    if (containerv_volume_setup(options, &machine, &attachment) != 0) {
        failed("attach the volume");
        containerv_volume_options_delete(options);
        return 1;
    }
    containerv_volume_options_delete(options);
    if (containerv_volume_attachments(NULL, name, &attached) != 0) {
        return failed("list what is attached");
    }
    printf("attachment %llu: %s\n", (unsigned long long)attachment, attached);
    containerv_volume_string_free(attached);
    return 0;
}

int main(int argc, char **argv)
{
    int code;

    if (argc < 4) {
        fprintf(stderr, "usage: %s STORE MACHINE up TARGET | down\n", argv[0]);
        return 2;
    }
    if (containerv_volume_set_root(argv[1]) != 0) {
        return failed("use that store");
    }
    if (strcmp(argv[3], "up") == 0 && argc == 5) {
        code = up(argv[2], argv[4]);
    } else {
        /* All of it, whoever attached it; the machine stays. */
        code = containerv_volume_cleanup(NULL, argv[2], CV_VOLUME_ALL_ATTACHMENTS, 0) == 0
                   ? 0
                   : failed("take it away");
    }
    if (containerv_volume_set_root(NULL) != 0) {
        return failed("close the store");
    }
    return code;
}
