/* Every name of computecore.dll is imported through the library of mingw, with the types of its header;
 * what the double has no body for says that it is not implemented. */

#include <stdio.h>
#include <windows.h>
#include <computecore.h>

/* Of these mingw's library has the names, and its header nothing. */
HRESULT WINAPI HcsEnumerateVmWorkerProcesses(void);
HRESULT WINAPI HcsFindVmWorkerProcesses(void);
HRESULT WINAPI HcsGetWorkerProcessJob(void);
HRESULT WINAPI HcsStartVmWorkerProcess(void);

static int failures;

#define NAME(function) { #function, (FARPROC)(void (*)(void))function }

static const struct {
    const char *name;
    FARPROC imported;
} NAMES[] = {
    NAME(HcsCancelOperation),
    NAME(HcsCloseComputeSystem),
    NAME(HcsCloseOperation),
    NAME(HcsCloseProcess),
    NAME(HcsCrashComputeSystem),
    NAME(HcsCreateComputeSystem),
    NAME(HcsCreateComputeSystemInNamespace),
    NAME(HcsCreateEmptyGuestStateFile),
    NAME(HcsCreateEmptyRuntimeStateFile),
    NAME(HcsCreateOperation),
    NAME(HcsCreateProcess),
    NAME(HcsEnumerateComputeSystems),
    NAME(HcsEnumerateComputeSystemsInNamespace),
    NAME(HcsEnumerateVmWorkerProcesses),
    NAME(HcsFindVmWorkerProcesses),
    NAME(HcsGetComputeSystemFromOperation),
    NAME(HcsGetComputeSystemProperties),
    NAME(HcsGetOperationContext),
    NAME(HcsGetOperationId),
    NAME(HcsGetOperationResult),
    NAME(HcsGetOperationResultAndProcessInfo),
    NAME(HcsGetOperationType),
    NAME(HcsGetProcessFromOperation),
    NAME(HcsGetProcessInfo),
    NAME(HcsGetProcessProperties),
    NAME(HcsGetProcessorCompatibilityFromSavedState),
    NAME(HcsGetServiceProperties),
    NAME(HcsGetWorkerProcessJob),
    NAME(HcsGrantVmAccess),
    NAME(HcsGrantVmGroupAccess),
    NAME(HcsModifyComputeSystem),
    NAME(HcsModifyProcess),
    NAME(HcsModifyServiceSettings),
    NAME(HcsOpenComputeSystem),
    NAME(HcsOpenComputeSystemInNamespace),
    NAME(HcsOpenProcess),
    NAME(HcsPauseComputeSystem),
    NAME(HcsResumeComputeSystem),
    NAME(HcsRevokeVmAccess),
    NAME(HcsRevokeVmGroupAccess),
    NAME(HcsSaveComputeSystem),
    NAME(HcsSetComputeSystemCallback),
    NAME(HcsSetOperationCallback),
    NAME(HcsSetOperationContext),
    NAME(HcsSetProcessCallback),
    NAME(HcsShutDownComputeSystem),
    NAME(HcsSignalProcess),
    NAME(HcsStartComputeSystem),
    NAME(HcsStartVmWorkerProcess),
    NAME(HcsSubmitWerReport),
    NAME(HcsTerminateComputeSystem),
    NAME(HcsTerminateProcess),
    NAME(HcsWaitForComputeSystemExit),
    NAME(HcsWaitForOperationResult),
    NAME(HcsWaitForOperationResultAndProcessInfo),
    NAME(HcsWaitForProcessExit),
};

static void expect(HRESULT told, HRESULT expected, const char *what)
{
    if (told != expected) {
        printf("%s: 0x%08lx and not 0x%08lx\n", what, (unsigned long)told, (unsigned long)expected);
        failures++;
    }
}

#define ABSENT(call) expect((call), E_NOTIMPL, #call)

int main(void)
{
    HMODULE library = GetModuleHandleA("computecore.dll");
    unsigned count = sizeof NAMES / sizeof NAMES[0];
    for (unsigned i = 0; i < count; i++) {
        /* What is called through the library of mingw is what the double exports by that name. */
        if (NAMES[i].imported == NULL || GetProcAddress(library, NAMES[i].name) == NULL) {
            printf("%s is not there\n", NAMES[i].name);
            failures++;
        }
    }
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    HCS_SYSTEM system = NULL;
    HCS_PROCESS process = NULL;
    HCS_CREATE_OPTIONS options = HcsCreateOptions_1;
    PWSTR text = NULL;
    PCWSTR features = NULL;
    ABSENT(HcsCancelOperation(operation));
    ABSENT(HcsCrashComputeSystem(system, operation, NULL));
    ABSENT(HcsCreateComputeSystemInNamespace(L"n", L"i", L"{}", operation, &options, &system));
    ABSENT(HcsCreateProcess(system, L"{}", operation, NULL, &process));
    ABSENT(HcsEnumerateComputeSystemsInNamespace(L"n", NULL, operation));
    ABSENT(HcsEnumerateVmWorkerProcesses());
    ABSENT(HcsFindVmWorkerProcesses());
    ABSENT(HcsGetProcessInfo(process, operation));
    ABSENT(HcsGetProcessProperties(process, operation, NULL));
    ABSENT(HcsGetProcessorCompatibilityFromSavedState(L"f", &features));
    ABSENT(HcsGetWorkerProcessJob());
    ABSENT(HcsModifyProcess(process, operation, L"{}"));
    ABSENT(HcsModifyServiceSettings(L"{}", &text));
    ABSENT(HcsOpenComputeSystemInNamespace(L"n", L"i", GENERIC_ALL, &system));
    ABSENT(HcsOpenProcess(system, 1, GENERIC_ALL, &process));
    ABSENT(HcsSetProcessCallback(process, HcsEventOptionNone, NULL, NULL));
    ABSENT(HcsSignalProcess(process, operation, L"{}"));
    ABSENT(HcsStartVmWorkerProcess());
    ABSENT(HcsSubmitWerReport(L"{}"));
    ABSENT(HcsTerminateProcess(process, operation, NULL));
    ABSENT(HcsWaitForProcessExit(process, 0, &text));
    HcsCloseProcess(process);
    expect(HcsGetProcessFromOperation(operation) == NULL ? S_OK : E_FAIL, S_OK, "no process");
    HcsCloseOperation(operation);
    if (failures != 0)
        return 1;
    printf("imports: ok, %u names\n", count);
    return 0;
}
