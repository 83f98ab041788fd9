/* A system from its making to its end through computecore.dll, with the types of mingw's header: every
 * function that the double has a body for is called, and hears or says what it has to.
 *
 * The one argument is a folder; what was left open on purpose is said in the log of the double. */

#include <stdio.h>
#include <wchar.h>
#include <windows.h>
#include <computecore.h>

#define ID L"0f0e0d0c-0b0a-4908-8706-050403020100"
#define CONTROLLER L"df6d0690-79e5-55b6-a5ec-c1e2f77f580a"
#define PATIENCE 30000

static int failures;
static volatile LONG completed, exited, disturbed;
static DWORD main_thread;

static void check(int holds, const char *what)
{
    if (!holds) {
        printf("%s\n", what);
        failures++;
    }
}

#define CHECK(condition) check((condition), #condition)

static void code(HRESULT told, unsigned long expected, const char *what)
{
    if ((unsigned long)told != expected) {
        printf("%s: 0x%08lx and not 0x%08lx\n", what, (unsigned long)told, expected);
        failures++;
    }
}

#define CODE(call, expected) code((call), (expected), #call)

/* Waits for an operation, and frees what it says. */
static HRESULT ended(HCS_OPERATION operation, HRESULT begun)
{
    PWSTR text = NULL;
    if (FAILED(begun))
        return begun;
    HRESULT told = HcsWaitForOperationResult(operation, PATIENCE, &text);
    /* A refusal says why. */
    CHECK(SUCCEEDED(told) || (text != NULL && wcsstr(text, L"ErrorMessage") != NULL));
    LocalFree(text);
    return told;
}

#define RUN(call, expected) do { \
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL); \
    code(ended(operation, (call)), (expected), #call); \
    HcsCloseOperation(operation); \
} while (0)

static void CALLBACK on_completion(HCS_OPERATION operation, void *context)
{
    PWSTR text = NULL;
    CHECK(context == (void *)&completed);
    CHECK(GetCurrentThreadId() != main_thread);
    CHECK(HcsGetOperationContext(operation) == context);
    /* The library may be called in here. */
    CODE(HcsGetOperationResult(operation, &text), 0);
    CHECK(text != NULL && wcsstr(text, L"\"Running\"") != NULL);
    LocalFree(text);
    InterlockedIncrement(&completed);
}

static void CALLBACK on_event(HCS_EVENT *event, void *context)
{
    CHECK(context == (void *)&exited);
    CHECK(GetCurrentThreadId() != main_thread);
    if (event->Type == HcsEventSystemExited) {
        CHECK(event->EventData != NULL && wcsstr(event->EventData, L"ExitType") != NULL);
        InterlockedIncrement(&exited);
    } else {
        InterlockedIncrement(&disturbed);
    }
}

static void wait_for(volatile LONG *count, LONG wanted, const char *what)
{
    for (int i = 0; i < PATIENCE / 5 && *count < wanted; i++)
        Sleep(5);
    check(*count == wanted, what);
}

static void operations(HCS_SYSTEM system)
{
    HCS_PROCESS_INFORMATION process;
    PWSTR text = NULL;
    HCS_OPERATION operation = HcsCreateOperation((void *)&completed, on_completion);
    CHECK(operation != NULL);
    CHECK(HcsGetOperationContext(operation) == (void *)&completed);
    CHECK(HcsGetOperationType(operation) == HcsOperationTypeNone);
    CHECK(HcsGetOperationId(operation) == HCS_INVALID_OPERATION_ID);
    CHECK(HcsGetComputeSystemFromOperation(operation) == NULL);
    CODE(HcsGetOperationResult(operation, &text), 0x80370115);
    CODE(HcsWaitForOperationResult(operation, 0, &text), 0x80370115);
    CODE(HcsGetComputeSystemProperties(system, operation, L"{\"PropertyTypes\":[]}"), 0);
    wait_for(&completed, 1, "the operation was told of");
    CHECK(HcsGetOperationType(operation) == HcsOperationTypeGetProperties);
    CHECK(HcsGetOperationId(operation) != HCS_INVALID_OPERATION_ID);
    CHECK(HcsGetComputeSystemFromOperation(operation) == system);
    CODE(HcsGetComputeSystemProperties(system, operation, NULL), 0x80370116);
    CODE(HcsSetOperationCallback(operation, NULL, NULL), 0x80370116);
    CODE(HcsSetOperationContext(operation, &text), 0);
    CHECK(HcsGetOperationContext(operation) == (void *)&text);
    CODE(HcsWaitForOperationResultAndProcessInfo(operation, 0, &process, &text), 0x8037011D);
    LocalFree(text);
    CODE(HcsGetOperationResultAndProcessInfo(operation, NULL, &text), 0);
    CHECK(text != NULL);
    LocalFree(text);
    HcsCloseOperation(operation);
    /* Closed is closed. */
    CHECK(HcsGetOperationType(operation) == HcsOperationTypeNone);
    operation = HcsCreateOperation(NULL, NULL);
    CODE(HcsSetOperationCallback(operation, (void *)&completed, on_completion), 0);
    CODE(HcsGetComputeSystemProperties(system, operation, NULL), 0);
    wait_for(&completed, 2, "the second was told of");
    HcsCloseOperation(operation);
}

static void disks(HCS_SYSTEM system, PCWSTR image)
{
    wchar_t request[1024], path[512];
    size_t length = 0;
    for (PCWSTR from = image; *from && length < 500; from++) {
        if (*from == L'\\')
            path[length++] = L'\\';
        path[length++] = *from;
    }
    path[length] = 0;
    swprintf(request, 1024, L"{\"ResourcePath\":\"VirtualMachine/Devices/Scsi/" CONTROLLER
             L"/Attachments/3\",\"RequestType\":\"Add\",\"Settings\":{\"Type\":\"VirtualDisk\","
             L"\"Path\":\"%ls\",\"ReadOnly\":false}}", path);
    RUN(HcsModifyComputeSystem(system, operation, request, NULL), 0x80070005);
    CODE(HcsGrantVmAccess(ID, L"Z:\\no\\such.vhdx"), 0x80070002);
    CODE(HcsGrantVmGroupAccess(image), 0);
    RUN(HcsModifyComputeSystem(system, operation, request, NULL), 0x80070005);
    CODE(HcsRevokeVmGroupAccess(image), 0);
    CODE(HcsGrantVmAccess(ID, image), 0);
    /* A token is not given; garbage on its place is found out. */
    RUN(HcsModifyComputeSystem(system, operation, request, (HANDLE)1), 0x80070057);
    RUN(HcsModifyComputeSystem(system, operation, NULL, NULL), 0x80070057);
    RUN(HcsModifyComputeSystem(system, operation, L"{\"ResourcePath\":1}", NULL), 0x8037010D);
    RUN(HcsModifyComputeSystem(system, operation, request, NULL), 0);
    RUN(HcsModifyComputeSystem(system, operation, request, NULL), 0x800700B7);
    swprintf(request, 1024, L"{\"ResourcePath\":\"VirtualMachine/Devices/Scsi/" CONTROLLER
             L"/Attachments/3\",\"RequestType\":\"Remove\"}");
    RUN(HcsModifyComputeSystem(system, operation, request, NULL), 0);
    RUN(HcsModifyComputeSystem(system, operation, request, NULL), 0x80070490);
    CODE(HcsRevokeVmAccess(ID, image), 0);
    CODE(HcsRevokeVmAccess(ID, NULL), 0x80070057);
}

static void states(HCS_SYSTEM system, PCWSTR folder)
{
    wchar_t file[512];
    PWSTR text = NULL;
    PCWSTR save = L"{\"SaveType\":\"AsTemplate\"}";
    RUN(HcsSaveComputeSystem(system, operation, save), 0x80370105);
    RUN(HcsPauseComputeSystem(system, operation, NULL), 0);
    RUN(HcsSaveComputeSystem(system, operation, save), 0);
    RUN(HcsResumeComputeSystem(system, operation, NULL), 0);
    swprintf(file, 512, L"%ls\\guest.vmgs", folder);
    CODE(HcsCreateEmptyGuestStateFile(file), 0);
    CHECK(GetFileAttributesW(file) != INVALID_FILE_ATTRIBUTES);
    swprintf(file, 512, L"%ls\\run.vmrs", folder);
    CODE(HcsCreateEmptyRuntimeStateFile(file), 0);
    CODE(HcsWaitForComputeSystemExit(system, 1, &text), 0x80370118);
    RUN(HcsShutDownComputeSystem(system, operation, NULL), 0);
    CODE(HcsWaitForComputeSystemExit(system, PATIENCE, &text), 0);
    CHECK(text != NULL && wcsstr(text, L"ExitType") != NULL);
    LocalFree(text);
    wait_for(&exited, 1, "the end was told of");
    RUN(HcsTerminateComputeSystem(system, operation, NULL), 0x80370110);
    CHECK(disturbed == 0);
}

static void service(void)
{
    PWSTR text = NULL;
    CODE(HcsGetServiceProperties(L"{\"PropertyTypes\":[\"Basic\"]}", &text), 0);
    CHECK(text != NULL && wcsstr(text, L"SupportedSchemaVersions") != NULL);
    LocalFree(text);
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CODE(HcsEnumerateComputeSystems(L"{\"Owners\":[\"life\"]}", operation), 0);
    CODE(HcsWaitForOperationResult(operation, PATIENCE, &text), 0);
    CHECK(text != NULL && wcsstr(text, ID) != NULL);
    LocalFree(text);
    HcsCloseOperation(operation);
}

int wmain(int count, wchar_t **words);

int wmain(int count, wchar_t **words)
{
    HCS_SYSTEM system = NULL, other = NULL;
    wchar_t image[512];
    PCWSTR document = L"{\"Owner\":\"life\",\"SchemaVersion\":{\"Major\":2,\"Minor\":1},"
                      L"\"ShouldTerminateOnLastHandleClosed\":true,"
                      L"\"VirtualMachine\":{\"StopOnReset\":true,\"Chipset\":{\"Uefi\":{}},"
                      L"\"Devices\":{\"Scsi\":{\"" CONTROLLER L"\":{\"Attachments\":{}}}}}}";
    main_thread = GetCurrentThreadId();
    if (count < 2)
        return 2;
    swprintf(image, 512, L"%ls\\a.vhdx", words[1]);
    RUN(HcsCreateComputeSystem(ID, document, operation, NULL, &system), 0);
    CODE(HcsOpenComputeSystem(ID, GENERIC_READ, &other), 0x80070057);
    CODE(HcsOpenComputeSystem(L"nobody", GENERIC_ALL, &other), 0x8037010E);
    CODE(HcsOpenComputeSystem(ID, GENERIC_ALL, &other), 0);
    CHECK(other != system);
    CODE(HcsSetComputeSystemCallback(system, HcsEventOptionNone, (void *)&exited, on_event), 0);
    RUN(HcsStartComputeSystem(system, operation, NULL), 0);
    service();
    operations(other);
    HcsCloseComputeSystem(other);
    disks(system, image);
    states(system, words[1]);
    CODE(HcsSetComputeSystemCallback(system, HcsEventOptionNone, NULL, NULL), 0);
    HcsCloseComputeSystem(system);
    CODE(HcsOpenComputeSystem(ID, GENERIC_ALL, &other), 0x8037010E);
    /* Left open, for the double to say so when it is unloaded. */
    HcsCreateOperation(NULL, NULL);
    if (failures != 0)
        return 1;
    printf("life: ok\n");
    return 0;
}
