/* A machine of the Host Compute Service: set up and cleaned up by its system id. The double of the service
 * says which call goes wrong, if any: then all of it was undone, or is taken away by calling again. */
#include "check.h"

/* The machine that the double has. */
static char id[] = "0f0e0d0c-0b0a-4908-8706-050403020100";
static char way[] = "none";

static void the_program_is_told_what_to_mount(void)
{
    struct containerv_volume_info info;
    char *json = NULL;

    CHECK(containerv_volume_attachments(NULL, id, &json) == 0);
    CHECK(strstr(json, "\"guest_work\"") != NULL && strstr(json, "mount-disk") != NULL);
    CHECK(strstr(json, "C:\\\\data") != NULL);
    containerv_volume_string_free(json);
    CHECK(containerv_volume_inspect("data", &info) == 0 && info.in_use == 1);
    containerv_volume_info_free(&info);
    FAILS(containerv_volume_delete("data"), CV_VOLUME_IN_USE, EBUSY);
}

/* Whether the mounts were brought in, and taken away again. */
static int comes_and_goes(struct containerv_options *options)
{
    struct containerv_machine machine;
    uint64_t first = 0, second = 7;
    int was_taken;

    memset(&machine, 0, sizeof machine);
    machine.hcs_system_id = id;
    machine.agent_socket = way;
    machine.guest = CV_GUEST_WINDOWS;
    if (containerv_volume_setup(options, &machine, &first) != 0) {
        CHECK(containerv_volume_last_error()[0] != '\0' && first == 0);
        CHECK(containerv_volume_cleanup(NULL, id, CV_VOLUME_ALL_ATTACHMENTS, 0) == 0);
        return 0;
    }
    CHECK(first != 0);
    the_program_is_told_what_to_mount();
    /* The same place a second time. */
    CHECK(containerv_volume_setup(options, &machine, &second) == -1 && second == 0);
    was_taken = containerv_volume_cleanup(NULL, id, first, 0) == 0;
    CHECK(containerv_volume_cleanup(NULL, id, first, 0) == 0);
    CHECK(containerv_volume_cleanup(NULL, id, CV_VOLUME_ALL_ATTACHMENTS, 0) == 0);
    return was_taken;
}

int main(int argc, char **argv)
{
    struct containerv_options *options;
    int was_whole;

    CHECK(containerv_volume_set_root(folder_of(argc, argv)) == 0);
    CHECK(containerv_volume_create("data", 16) == 0);
    options = containerv_volume_options_new(NULL);
    CHECK(options != NULL);
    containerv_options_add_volume(options, "data", "C:\\data", "named", NULL);
    CHECK(containerv_volume_options_check(options) == 0);
    was_whole = comes_and_goes(options);
    CHECK(containerv_volume_options_delete(options) == 0);
    nothing_is_left();
    CHECK(containerv_volume_delete("data") == 0);
    CHECK(containerv_volume_set_root(NULL) == 0);
    CHECK(containerv_volume_outstanding() == 0);
    puts(was_whole ? "hyperv: ok" : "hyperv: undone");
    return 0;
}
