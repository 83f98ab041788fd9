/* Machines that are none, are not there, or cannot be reached: refused, and nothing is left behind. */
#include "check.h"

static struct containerv_options *with_data(void)
{
    struct containerv_options *options = containerv_volume_options_new(NULL);

    CHECK(options != NULL);
    containerv_options_add_volume(options, "data", "/data", "named", NULL);
    CHECK(containerv_volume_options_check(options) == 0);
    return options;
}

static void machines_that_are_none(void)
{
    struct containerv_options *options = with_data();
    struct containerv_machine machine;
    char id[] = "web-1", name[] = "..", socket[] = "/no/such/socket", schema[] = "9.9";
    uint64_t number = 7;
    char *json = NULL;

    memset(&machine, 0, sizeof machine);
    FAILS(containerv_volume_setup(options, NULL, &number), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    CHECK(number == 0);
    FAILS(containerv_volume_setup(options, &machine, NULL), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    machine.hcs_system_id = id;
    machine.qmp_socket = socket;
    FAILS(containerv_volume_setup(options, &machine, NULL), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    machine.qmp_socket = NULL;
    machine.hcs_schema = schema;
    FAILS(containerv_volume_setup(options, &machine, NULL), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    machine.hcs_schema = NULL;
    machine.guest = (enum containerv_guest)5;
    FAILS(containerv_volume_setup(options, &machine, NULL), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    machine.guest = CV_GUEST_LINUX;
    machine.name = name;
    FAILS(containerv_volume_setup(options, &machine, NULL), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    machine.name = NULL;
    machine.hcs_system_id = NULL;
    machine.qmp_socket = machine.agent_socket = socket;
    FAILS(containerv_volume_setup(options, &machine, NULL), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    machine.name = id;
    FAILS(containerv_volume_setup(NULL, &machine, NULL), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    /* Nothing to attach is not somebody's being at work. */
    CHECK(containerv_volume_options_delete(options) == 0);
    options = containerv_volume_options_new(NULL);
    number = 7;
    FAILS(containerv_volume_setup(options, &machine, &number), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    CHECK(number == 0);

    FAILS(containerv_volume_cleanup(NULL, NULL, 0, 0), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    FAILS(containerv_volume_cleanup(NULL, "..", 0, 0), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    FAILS(containerv_volume_attachments(NULL, NULL, NULL), CV_VOLUME_INVALID_ARGUMENT, EINVAL);
    FAILS(containerv_volume_attachments(NULL, "web-1", &json), CV_VOLUME_NOT_FOUND, ENOENT);
    /* What is not there needs no cleaning up. */
    CHECK(containerv_volume_cleanup(NULL, "web-1", 0, 0) == 0);
    CHECK(containerv_volume_cleanup(NULL, "web-1", 3, 1) == 0);
    CHECK(containerv_volume_options_delete(options) == 0);
    nothing_is_left();
}

static void machines_that_cannot_be_reached(void)
{
    struct containerv_options *options = with_data();
    struct containerv_machine machine;
    char id[] = "web-1", name[] = "vm-1", socket[] = "/no/such/socket";
    uint64_t number = 7;

    memset(&machine, 0, sizeof machine);
    machine.name = name;
    machine.qmp_socket = machine.agent_socket = socket;
    CHECK(containerv_volume_setup(options, &machine, &number) == -1);
    CHECK(containerv_volume_last_error()[0] != '\0' && number == 0);
    CHECK(containerv_volume_cleanup(NULL, name, 0, 1) == 0);
    nothing_is_left();

    memset(&machine, 0, sizeof machine);
    machine.hcs_system_id = id;
    CHECK(containerv_volume_setup(options, &machine, &number) == -1);
    CHECK(containerv_volume_last_error()[0] != '\0' && number == 0);
    CHECK(containerv_volume_cleanup(NULL, id, 0, 1) == 0);
    nothing_is_left();
    CHECK(containerv_volume_options_delete(options) == 0);
}

int main(int argc, char **argv)
{
    CHECK(containerv_volume_set_root(folder_of(argc, argv)) == 0);
    CHECK(containerv_volume_create("data", 16) == 0);
    machines_that_are_none();
    machines_that_cannot_be_reached();
    CHECK(containerv_volume_delete("data") == 0);
    CHECK(containerv_volume_set_root(NULL) == 0);
    CHECK(containerv_volume_outstanding() == 0);
    puts("session: ok");
    return 0;
}
