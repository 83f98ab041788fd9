#Requires -Version 5.1
<#
.SYNOPSIS
Proves on a Windows host with Hyper-V what cvol cannot prove of itself anywhere else.

.DESCRIPTION
Runs from top to bottom without changes, as an administrator, in Windows PowerShell 5.1 or PowerShell 7.
Every item is one line: PASS, FAIL with the reason, or SKIP with what is missing for it. Everything is
made below one folder of its own, and removed at the end, whatever failed. Ends with the number of items
that failed.

.PARAMETER Cvol
cvol.exe; by itself the one beside this script, or on the path.

.PARAMETER Library
containerv_volume.dll; by itself the one beside this script.

.PARAMETER Folder
Where to work; by itself a new folder in that of temporary files. It must be on NTFS, with 8 GiB free.

.PARAMETER Keep
Leave the folder there to look at.

.EXAMPLE
powershell -ExecutionPolicy Bypass -File checklist.ps1
#>
[CmdletBinding()]
param(
    [string] $Cvol,
    [string] $Library,
    [string] $Folder,
    [switch] $Keep
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

# ---------------------------------------------------------------------------------------------------
# What runs the items.

$script:Results = New-Object System.Collections.ArrayList
$script:Mounted = New-Object System.Collections.ArrayList

$MB = 1048576

# Ends an item that something is missing for.
function Skip-Item([string] $Reason) {
    throw "SKIP $Reason"
}

function Confirm-That([bool] $Condition, [string] $Otherwise) {
    if (-not $Condition) {
        throw $Otherwise
    }
}

function Invoke-Item([string] $Name, [scriptblock] $Body) {
    $state = 'PASS'
    $note = ''
    $watch = [System.Diagnostics.Stopwatch]::StartNew()
    try {
        $said = & $Body
        if ($null -ne $said) {
            $note = ($said | Out-String).Trim()
        }
    }
    catch {
        $note = $_.Exception.Message
        if ($note.StartsWith('SKIP ')) {
            $state = 'SKIP'
            $note = $note.Substring(5)
        }
        else {
            $state = 'FAIL'
            $note = '{0} (line {1})' -f $note, $_.InvocationInfo.ScriptLineNumber
        }
    }
    finally {
        Dismount-Everything
    }
    [void] $script:Results.Add([pscustomobject] @{ State = $state; Name = $Name; Note = $note })
    $seconds = $watch.Elapsed.TotalSeconds.ToString('0.0')
    Write-Host ('{0}  {1} ({2} s){3}' -f $state, $Name, $seconds, $(if ($note) { ": $note" } else { '' }))
}

function Dismount-Everything {
    foreach ($image in @($script:Mounted)) {
        try { Dismount-VHD -Path $image } catch { Write-Verbose $_.Exception.Message }
    }
    $script:Mounted.Clear()
}

# PowerShell finds drives that came since it looked last.
function Update-Drives {
    [void] (Get-PSDrive -PSProvider FileSystem)
}

# ---------------------------------------------------------------------------------------------------
# cvol, and images of Windows.

# Runs a program: its exit code, and the lines of its output and of its errors, each as one text. Windows
# PowerShell makes an error of every line of errors that is redirected, and ends where errors do that.
function Invoke-Program([string] $Program, [string[]] $Words, [string] $Stdin = $null) {
    $before = $ErrorActionPreference
    $ErrorActionPreference = 'Continue'
    try {
        if ($Stdin) { $said = $Stdin | & $Program @Words 2>&1 }
        else { $said = & $Program @Words 2>&1 }
        $code = $LASTEXITCODE
    }
    finally {
        $ErrorActionPreference = $before
    }
    $isError = { $_ -is [System.Management.Automation.ErrorRecord] }
    $errors = @(@($said) | Where-Object $isError | ForEach-Object { $_.Exception.Message })
    $lines = @(@($said) | Where-Object { $_ -isnot [System.Management.Automation.ErrorRecord] })
    return [pscustomobject] @{ Code = $code; Output = ($lines -join "`n"); Errors = ($errors -join "`n") }
}

# Runs cvol; its output as one text. Fails where its exit code is none of those expected. What it wrote about
# errors is in $script:CvolErrors.
function Invoke-Cvol([string[]] $Words, [int[]] $Codes = @(0)) {
    $ran = Invoke-Program $script:CvolProgram $Words
    $script:CvolErrors = $ran.Errors
    if ($Codes -notcontains $ran.Code) {
        throw ('cvol {0} ended with {1}: {2}' -f ($Words -join ' '), $ran.Code, $ran.Errors)
    }
    return $ran.Output
}

function Get-Image([string] $Volume) {
    $details = Invoke-Cvol @('inspect', $Volume) | ConvertFrom-Json
    return @($details)[0].image_path
}

# Mounts an image; the letter of its one volume, with its colon.
function Mount-Image([string] $Path, [switch] $ReadOnly) {
    [void] $script:Mounted.Add($Path)
    $disk = Mount-VHD -Path $Path -ReadOnly:$ReadOnly -Passthru | Get-Disk
    for ($try = 0; $try -lt 50; $try++) {
        $partition = $disk | Get-Partition -ErrorAction SilentlyContinue |
            Where-Object { $_.Type -eq 'Basic' -or $_.Type -eq 'IFS' -or $_.Type -eq 'FAT32' } |
            Select-Object -First 1
        if ($null -ne $partition) {
            if (-not $partition.DriveLetter -or [int] $partition.DriveLetter -eq 0) {
                try { $partition | Add-PartitionAccessPath -AssignDriveLetter } catch { Write-Verbose $_ }
            }
            $partition = Get-Partition -DiskNumber $partition.DiskNumber -PartitionNumber $partition.PartitionNumber
            if ($partition.DriveLetter -and [int] $partition.DriveLetter -ne 0) {
                Update-Drives
                return ('{0}:' -f $partition.DriveLetter)
            }
        }
        Start-Sleep -Milliseconds 200
    }
    throw "Windows gives no letter to a volume of $Path"
}

function Dismount-Image([string] $Path) {
    Dismount-VHD -Path $Path
    $script:Mounted.Remove($Path)
}

# Digests of all files below a folder, by their paths from there. What Windows keeps at the top of a volume
# nobody may look into.
function Get-Digests([string] $Root) {
    $found = @{}
    $own = @('System Volume Information', '$RECYCLE.BIN')
    $waiting = New-Object System.Collections.Queue
    $waiting.Enqueue('')
    while ($waiting.Count -gt 0) {
        $below = $waiting.Dequeue()
        $at = if ($below) { $Root.TrimEnd('\') + '\' + $below } else { $Root }
        $items = Get-ChildItem -LiteralPath $at -Force
        foreach ($item in @($items)) {
            if (-not $below -and $own -contains $item.Name) { continue }
            $name = if ($below) { "$below\$($item.Name)" } else { $item.Name }
            if ($item.PSIsContainer) { $waiting.Enqueue($name) }
            else { $found[$name] = (Get-FileHash -LiteralPath $item.FullName -Algorithm SHA256).Hash }
        }
    }
    return $found
}

function Confirm-SameTree([hashtable] $Expected, [hashtable] $Found) {
    Confirm-That ($Expected.Count -gt 0) 'there is nothing to compare'
    foreach ($name in $Expected.Keys) {
        Confirm-That ($Found.ContainsKey($name)) "$name is missing"
        Confirm-That ($Found[$name] -eq $Expected[$name]) "$name has other bytes"
    }
    Confirm-That ($Found.Count -eq $Expected.Count) ('{0} files, not {1}' -f $Found.Count, $Expected.Count)
}

# chkdsk without repairing: 0 is a volume without faults.
function Confirm-Sound([string] $Letter) {
    $said = & chkdsk.exe $Letter
    Confirm-That ($LASTEXITCODE -eq 0) ('chkdsk {0} ended with {1}: {2}' -f $Letter, $LASTEXITCODE, (@($said)[-12..-1] -join ' '))
}

# A user of this host for a while. By ADSI, since New-LocalUser is not in every PowerShell.
function New-TestUser([string] $User, [string] $Password) {
    $account = ([ADSI] "WinNT://$env:COMPUTERNAME,computer").Create('User', $User)
    $account.SetPassword($Password)
    $account.SetInfo()
}

function Remove-TestUser([string] $User) {
    try { ([ADSI] "WinNT://$env:COMPUTERNAME,computer").Delete('User', $User) }
    catch { Write-Verbose $_.Exception.Message }
}

function New-SampleTree([string] $Root) {
    [void] (New-Item -ItemType Directory -Force (Join-Path $Root 'docs\deep\er'))
    [void] (New-Item -ItemType Directory -Force (Join-Path $Root 'many'))
    [System.IO.File]::WriteAllText((Join-Path $Root 'small.txt'), "resident`r`n")
    [System.IO.File]::WriteAllText((Join-Path $Root 'empty.txt'), '')
    $random = New-Object System.Random 7
    $bytes = New-Object byte[] 3000000
    $random.NextBytes($bytes)
    [System.IO.File]::WriteAllBytes((Join-Path $Root 'docs\large.bin'), $bytes)
    $name = 'docs\deep\er\' + [char] 0x00DC + 'ber ' + [char] 0x4E16 + '.txt'
    [System.IO.File]::WriteAllText((Join-Path $Root $name), 'a name of many kinds of characters')
    for ($number = 0; $number -lt 500; $number++) {
        [System.IO.File]::WriteAllText((Join-Path $Root "many\$number.dat"), "$number")
    }
}

# ---------------------------------------------------------------------------------------------------
# Where to work, and with what.

$here = Split-Path -Parent $MyInvocation.MyCommand.Path
if (-not $Cvol) {
    $beside = Join-Path $here 'cvol.exe'
    $onPath = Get-Command cvol.exe -ErrorAction SilentlyContinue
    if (Test-Path -LiteralPath $beside) { $Cvol = $beside }
    elseif ($null -ne $onPath) { $Cvol = $onPath.Source }
    else { throw 'cvol.exe is neither beside this script nor on the path: give it with -Cvol' }
}
if (-not $Library) { $Library = Join-Path $here 'containerv_volume.dll' }
if (-not $Folder) { $Folder = Join-Path ([System.IO.Path]::GetTempPath()) ('cvol-checklist-' + [guid]::NewGuid().ToString('N').Substring(0, 8)) }

$script:CvolProgram = (Resolve-Path -LiteralPath $Cvol).Path
[void] (New-Item -ItemType Directory -Force $Folder)
$script:Work = (Resolve-Path -LiteralPath $Folder).ProviderPath
$script:CvolErrors = ''
$drive = New-Object System.IO.DriveInfo ([System.IO.Path]::GetPathRoot($script:Work))
if ($drive.DriveFormat -ne 'NTFS' -or $drive.AvailableFreeSpace -lt 8192 * $MB) {
    $free = [math]::Floor($drive.AvailableFreeSpace / $MB)
    throw ('{0} is {1} with {2} MiB free: give a folder on NTFS with 8 GiB free by -Folder' -f $drive.Name, $drive.DriveFormat, $free)
}
# The session that runs this gets back what it had.
$rootBefore = $env:CVOL_ROOT
$pathBefore = $env:PATH
$encodingBefore = [Console]::OutputEncoding
$env:CVOL_ROOT = Join-Path $script:Work 'store'
# What cvol prints is UTF-8.
try { [Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false } catch { Write-Verbose $_.Exception.Message }

$identity = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
$isElevated = $identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
$hasHyperV = $null -ne (Get-Command Mount-VHD -ErrorAction SilentlyContinue)
$hasVms = $null -ne (Get-Command New-VM -ErrorAction SilentlyContinue)
$hasHcs = Test-Path (Join-Path $env:SystemRoot 'System32\computecore.dll')

function Assert-HyperV {
    if (-not $isElevated) { Skip-Item 'not run as an administrator' }
    if (-not $hasHyperV) { Skip-Item 'the Hyper-V module of PowerShell is missing (Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V -All)' }
}

Write-Host ('cvol checklist on {0}, PowerShell {1}, in {2}' -f [Environment]::OSVersion.VersionString, $PSVersionTable.PSVersion, $script:Work)
if (-not $isElevated) { Write-Warning 'this is not run as an administrator: most items are skipped' }

try {

$tree = Join-Path $script:Work 'tree'
New-SampleTree $tree
$expected = Get-Digests $tree
Write-Host ('{0}' -f (Invoke-Cvol @('--version')))

# ---------------------------------------------------------------------------------------------------
# 1. What cvol makes, Windows reads.

$kinds = @(
    @{ Name = 'ntfs'; Words = @('--size', '256M') },
    @{ Name = 'ntfs-4k'; Words = @('--size', '256M', '--sector-size', '4096') },
    @{ Name = 'ntfs-fixed-vhd'; Words = @('--size', '128M', '--format', 'vhd', '--type', 'fixed') },
    @{ Name = 'ntfs-dynamic-vhd'; Words = @('--size', '256M', '--format', 'vhd') },
    @{ Name = 'fat'; Words = @('--size', '512M', '--fs', 'fat32') }
)
foreach ($kind in $kinds) {
    Invoke-Item ('Windows mounts {0}, finds every byte, and chkdsk finds no fault' -f $kind.Name) {
        Assert-HyperV
        [void] (Invoke-Cvol (@('create', $kind.Name, '--from', $tree) + $kind.Words))
        $image = Get-Image $kind.Name
        [void] (Get-VHD -Path $image)
        Confirm-That (Test-VHD -Path $image) 'Test-VHD says no'
        $letter = Mount-Image $image -ReadOnly
        Confirm-SameTree $expected (Get-Digests "$letter\")
        Dismount-Image $image
        # A volume that is mounted read-only is not checked whole; this one may be written.
        $letter = Mount-Image $image
        Confirm-Sound $letter
    }
}

Invoke-Item 'Windows writes into a volume of cvol, and cvol finds what it wrote' {
    Assert-HyperV
    [void] (Invoke-Cvol @('create', 'written', '--size', '256M'))
    $image = Get-Image 'written'
    $letter = Mount-Image $image
    Copy-Item -Recurse -Path (Join-Path $tree '*') -Destination "$letter\"
    Set-Content -LiteralPath "$letter\small.txt" -Stream 'note' -Value 'a stream of its own'
    Dismount-Image $image
    [void] (Invoke-Cvol @('check', '--volume', 'written'))
    [void] (Invoke-Cvol @('fsck', '--volume', 'written'))
    $out = Join-Path $script:Work 'written-out'
    [void] (Invoke-Cvol @('cp', 'written:/', $out))
    $found = Get-Digests $out
    Confirm-SameTree $expected $found
}

Invoke-Item 'Windows shows the access control that cvol wrote' {
    Assert-HyperV
    [void] (Invoke-Cvol @('create', 'acl', '--size', '128M', '--from', $tree, '--acl', 'container-users'))
    $image = Get-Image 'acl'
    $letter = Mount-Image $image -ReadOnly
    $sddl = (Get-Acl -LiteralPath "$letter\docs").Sddl
    foreach ($part in @('S-1-5-93-2-1', 'S-1-5-93-2-2', ';;;SY', ';;;BA')) {
        Confirm-That ($sddl.Contains($part)) "$part is not in $sddl"
    }
}

# ---------------------------------------------------------------------------------------------------
# 2. What Windows makes, cvol reads.

foreach ($form in @('vhdx', 'vhd')) {
    Invoke-Item ('cvol reads an NTFS {0} that Windows made, and finds no fault' -f $form) {
        Assert-HyperV
        $image = Join-Path $script:Work "windows.$form"
        [void] (New-VHD -Path $image -SizeBytes (256 * $MB) -Dynamic)
        [void] $script:Mounted.Add($image)
        $disk = Mount-VHD -Path $image -Passthru | Get-Disk
        $disk | Initialize-Disk -PartitionStyle GPT
        $partition = $disk | New-Partition -UseMaximumSize -AssignDriveLetter
        [void] ($partition | Format-Volume -FileSystem NTFS -NewFileSystemLabel 'made' -Confirm:$false)
        $letter = '{0}:' -f $partition.DriveLetter
        Update-Drives
        Copy-Item -Recurse -Path (Join-Path $tree '*') -Destination "$letter\"
        Dismount-Image $image
        [void] (Invoke-Cvol @('check', $image))
        [void] (Invoke-Cvol @('fsck', $image))
        $out = Join-Path $script:Work "windows-$form-out"
        [void] (Invoke-Cvol @('cp', '--image', $image, '/docs/large.bin', $out))
        Confirm-That ((Get-FileHash -LiteralPath $out).Hash -eq $expected['docs\large.bin']) 'large.bin has other bytes'
    }
}

Invoke-Item 'cvol reads a differencing image that Windows made on an image of cvol' {
    Assert-HyperV
    $parent = Join-Path $script:Work 'parent.vhdx'
    $child = Join-Path $script:Work 'child.vhdx'
    [void] (Invoke-Cvol @('create', 'base', '--size', '128M', '--from', $tree))
    Copy-Item -LiteralPath (Get-Image 'base') -Destination $parent
    [void] (New-VHD -Path $child -ParentPath $parent -Differencing)
    $letter = Mount-Image $child
    [System.IO.File]::WriteAllText("$letter\only-in-child.txt", 'child')
    Dismount-Image $child
    $text = Invoke-Cvol @('cat', '--image', $child, '/only-in-child.txt')
    Confirm-That ($text -eq 'child') "cvol reads '$text'"
    [void] (Invoke-Cvol @('cat', '--image', $parent, '/only-in-child.txt') @(3))
}

Invoke-Item 'Windows reads a chain that cvol made by snapshots' {
    Assert-HyperV
    [void] (Invoke-Cvol @('create', 'chain', '--size', '128M', '--from', $tree))
    [void] (Invoke-Cvol @('snapshot', 'create', 'chain@one'))
    $file = Join-Path $script:Work 'later.txt'
    [System.IO.File]::WriteAllText($file, 'later')
    [void] (Invoke-Cvol @('cp', $file, 'chain:/later.txt'))
    $head = Get-Image 'chain'
    $said = Get-VHD -Path $head
    Confirm-That ($said.VhdType -eq 'Differencing') "Get-VHD says $($said.VhdType)"
    Confirm-That (Test-VHD -Path $head) 'Test-VHD does not find the parent'
    $letter = Mount-Image $head -ReadOnly
    Confirm-That ((Get-Content -Raw -LiteralPath "$letter\later.txt") -eq 'later') 'later.txt is not there'
    Confirm-That ((Get-FileHash -LiteralPath "$letter\docs\large.bin").Hash -eq $expected['docs\large.bin']) 'large.bin has other bytes'
}

# ---------------------------------------------------------------------------------------------------
# 3. Changes.

Invoke-Item 'a volume that cvol resized is of that size to Windows, and sound' {
    Assert-HyperV
    [void] (Invoke-Cvol @('create', 'grown', '--size', '128M', '--from', $tree))
    [void] (Invoke-Cvol @('resize', 'grown', '512M'))
    $image = Get-Image 'grown'
    $letter = Mount-Image $image
    $size = (Get-Volume -DriveLetter $letter.Substring(0, 1)).Size
    Confirm-That ($size -gt 480 * $MB -and $size -le 512 * $MB) "Windows says $size bytes"
    Confirm-Sound $letter
    Confirm-SameTree $expected (Get-Digests "$letter\")
}

Invoke-Item 'a volume that cvol compacted is sound' {
    Assert-HyperV
    [void] (Invoke-Cvol @('create', 'loose', '--size', '512M'))
    $image = Get-Image 'loose'
    $letter = Mount-Image $image
    $bytes = New-Object byte[] (100 * $MB)
    (New-Object System.Random 1).NextBytes($bytes)
    [System.IO.File]::WriteAllBytes("$letter\large.bin", $bytes)
    Copy-Item -Recurse -Path (Join-Path $tree '*') -Destination "$letter\"
    Remove-Item -LiteralPath "$letter\large.bin"
    Dismount-Image $image
    $before = (Get-Item -LiteralPath $image).Length
    [void] (Invoke-Cvol @('compact', 'loose'))
    $after = (Get-Item -LiteralPath $image).Length
    Confirm-That ($after -lt $before - 64 * $MB) "$before bytes became $after"
    $letter = Mount-Image $image
    Confirm-Sound $letter
    Confirm-SameTree $expected (Get-Digests "$letter\")
}

Invoke-Item 'a volume that Windows has mounted is in use to cvol' {
    Assert-HyperV
    [void] (Invoke-Cvol @('create', 'used', '--size', '64M'))
    [void] (Mount-Image (Get-Image 'used'))
    [void] (Invoke-Cvol @('rm', 'used') @(5))
    [void] (Invoke-Cvol @('resize', 'used', '128M') @(5))
}

Invoke-Item 'a store at a path longer than 260 characters works' {
    $deep = Join-Path $script:Work ((@('a' * 60) * 4) -join '\')
    $words = @('--root', $deep)
    [void] (Invoke-Cvol ($words + @('create', 'far', '--size', '64M')))
    $names = Invoke-Cvol ($words + @('ls', '--quiet'))
    Confirm-That ($names.Trim() -eq 'far') "it lists '$names'"
    [void] (Invoke-Cvol ($words + @('rm', 'far')))
}

Invoke-Item 'a new store is for the system and administrators, and one that others may open is told and mended' {
    if (-not $isElevated) { Skip-Item 'not run as an administrator' }
    $root = Join-Path $script:Work 'access-store'
    [void] (Invoke-Cvol @('--root', $root, 'ls'))
    $list = Get-Acl -LiteralPath $root
    Confirm-That $list.AreAccessRulesProtected 'the folder inherits its access list'
    $system = 'S-1-5-18'
    $administrators = 'S-1-5-32-544'
    $sids = @($list.GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier]) | ForEach-Object { $_.IdentityReference.Value } | Sort-Object -Unique)
    $others = @($sids | Where-Object { @($system, $administrators) -notcontains $_ })
    Confirm-That ($others.Count -eq 0 -and $sids.Count -eq 2) "the list has $($sids -join ' ')"
    & icacls.exe $root /grant '*S-1-5-32-545:(OI)(CI)RX' | Out-Null
    [void] (Invoke-Cvol @('--root', $root, 'ls'))
    $told = $script:CvolErrors
    Confirm-That ($told -match 'open to') "it says: $told"
    [void] (Invoke-Cvol @('--root', $root, 'doctor', '--fix') @(0, 1))
    $sids = @((Get-Acl -LiteralPath $root).GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier]) | ForEach-Object { $_.IdentityReference.Value })
    Confirm-That ($sids -notcontains 'S-1-5-32-545') 'users may still open it'
}

Invoke-Item 'a store on a server is refused' {
    $drive = (Split-Path -Qualifier $script:Work).Substring(0, 1)
    $rest = (Split-Path -NoQualifier $script:Work)
    $root = "\\localhost\$drive`$$rest\server-store"
    [void] (Invoke-Cvol @('--root', $root, 'ls') @(7))
    Confirm-That (-not (Test-Path -LiteralPath (Join-Path $script:Work 'server-store'))) 'it was made all the same'
}

Invoke-Item 'an image that a program holds is in use, and the program is named' {
    [void] (Invoke-Cvol @('create', 'held', '--size', '64M'))
    $stream = [IO.File]::Open((Get-Image 'held'), 'Open', 'Read', 'None')
    try {
        [void] (Invoke-Cvol @('resize', 'held', '128M') @(5))
        $told = $script:CvolErrors
        Confirm-That ($told -match "process $PID\b") "it says: $told"
    }
    finally { $stream.Dispose() }
    [void] (Invoke-Cvol @('rm', 'held'))
}

Invoke-Item 'passwords of a store open for the user who made it, and for no other' {
    if (-not $isElevated) { Skip-Item 'not run as an administrator' }
    $root = Join-Path $script:Work 'secret-store'
    $file = Join-Path $script:Work 'password.txt'
    [System.IO.File]::WriteAllText($file, 'a secret of the checklist')
    & icacls.exe $file /inheritance:r /grant '*S-1-5-18:F' '*S-1-5-32-544:F' | Out-Null
    [void] (Invoke-Cvol @('--root', $root, 'create', 'nas', '--type', 'smb', '--source', '//localhost/none', '--username', 'nobody', '--no-check', '--password-file', $file))
    [void] (Invoke-Cvol @('--root', $root, 'secret', 'rotate'))
    $suffix = [guid]::NewGuid().ToString('N').Substring(0, 8)
    $user = "cvol$suffix"
    $password = 'Aa1!' + [guid]::NewGuid().ToString('N')
    New-TestUser $user $password
    try {
        & icacls.exe $root /grant "${user}:(OI)(CI)F" | Out-Null
        $place = Join-Path $script:Work 'for-another-user'
        [void] (New-Item -ItemType Directory -Force $place)
        Copy-Item -LiteralPath $script:CvolProgram -Destination (Join-Path $place 'cvol.exe')
        & icacls.exe $place /grant "${user}:(OI)(CI)RX" | Out-Null
        $secure = ConvertTo-SecureString $password -AsPlainText -Force
        $who = New-Object System.Management.Automation.PSCredential "$env:COMPUTERNAME\$user", $secure
        $errors = Join-Path $place 'errors.txt'
        $words = '--root "{0}" secret rotate' -f $root
        $ran = Start-Process -FilePath (Join-Path $place 'cvol.exe') -ArgumentList $words -Credential $who -WorkingDirectory $place -RedirectStandardError $errors -Wait -PassThru
        $told = [System.IO.File]::ReadAllText($errors)
        Confirm-That ($ran.ExitCode -ne 0) 'another user opened the key'
        Confirm-That ($told -match 'another user') "it says: $told"
    }
    finally { Remove-TestUser $user }
    [void] (Invoke-Cvol @('--root', $root, 'secret', 'rotate'))
}

Invoke-Item 'a file of a password that others may read is refused' {
    $file = Join-Path $script:Work 'open-password.txt'
    [System.IO.File]::WriteAllText($file, 'a secret of the checklist')
    & icacls.exe $file /grant '*S-1-5-32-545:R' | Out-Null
    $words = @('create', 'open-nas', '--type', 'smb', '--source', '//localhost/none', '--username', 'nobody', '--no-check', '--password-file', $file)
    [void] (Invoke-Cvol $words @(2))
    Confirm-That ($script:CvolErrors -match 'others') "it says: $script:CvolErrors"
}

# ---------------------------------------------------------------------------------------------------
# 3a. Volumes that cvol has Windows mount.

function Assert-Mount {
    if (-not $isElevated) { Skip-Item 'not run as an administrator' }
    $help = Invoke-Cvol @('--help')
    if ($help -notmatch '(?m)^\s+mount\b') { Skip-Item 'this cvol.exe has no cvol mount' }
}

function Get-FreeLetter {
    $taken = [IO.DriveInfo]::GetDrives() | ForEach-Object { $_.Name.Substring(0, 1).ToUpperInvariant() }
    foreach ($letter in 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z') {
        if ($taken -notcontains $letter) { return "${letter}:" }
    }
    Skip-Item 'no drive letter is free'
}

foreach ($form in @('vhdx', 'vhd')) {
    Invoke-Item "cvol mounts a volume ($form) at a letter and at a folder, and ends that" {
        Assert-Mount
        $volume = "mounted-$form"
        [void] (Invoke-Cvol @('create', $volume, '--size', '256M', '--format', $form))
        $folder = Join-Path $script:Work "mount-$form"
        [void] (New-Item -ItemType Directory -Force $folder)
        $letter = Get-FreeLetter
        try {
            foreach ($target in @($letter, $folder)) {
                [void] (Invoke-Cvol @('mount', $volume, $target))
                [IO.File]::WriteAllText("$target\from-windows.txt", "at $target")
                $listed = Invoke-Cvol @('mounts', '--json') | ConvertFrom-Json
                Confirm-That (@($listed)[0].attached -eq $true) 'cvol mounts does not say that it is attached'
                # Claimed: nothing else changes it, and it has one place.
                [void] (Invoke-Cvol @('rm', $volume) @(5))
                [void] (Invoke-Cvol @('mount', $volume, $letter, '--readonly') @(4))
                [void] (Invoke-Cvol @('umount', $target))
                Confirm-That (-not [IO.File]::Exists("$target\from-windows.txt")) 'it is still there'
                $said = Invoke-Cvol @('cat', "${volume}:/from-windows.txt")
                Confirm-That ($said -eq "at $target") "cvol reads '$said'"
                [void] (Invoke-Cvol @('fsck', $volume))
            }
        }
        finally { [void] (Invoke-Cvol @('umount', $volume, '--force') @(0, 3)) }
        [void] (Invoke-Cvol @('rm', $volume))
    }
}

Invoke-Item 'an image that Windows attached for somebody else is in use to cvol mount' {
    Assert-HyperV
    Assert-Mount
    [void] (Invoke-Cvol @('create', 'mounted-twice', '--size', '64M'))
    [void] (Mount-Image (Get-Image 'mounted-twice'))
    [void] (Invoke-Cvol @('mount', 'mounted-twice', (Get-FreeLetter)) @(5))
    Dismount-Image (Get-Image 'mounted-twice')
    # Nothing stays claimed of it.
    [void] (Invoke-Cvol @('rm', 'mounted-twice'))
}

Invoke-Item 'a mount of cvol at a folder ends also when the mount point was taken away' {
    Assert-Mount
    [void] (Invoke-Cvol @('create', 'mounted-bare', '--size', '64M'))
    $folder = Join-Path $script:Work 'mount-bare'
    [void] (New-Item -ItemType Directory -Force $folder)
    try {
        [void] (Invoke-Cvol @('mount', 'mounted-bare', $folder))
        $taken = Invoke-Program "$env:SystemRoot\System32\mountvol.exe" @($folder, '/D')
        Confirm-That ($taken.Code -eq 0) "mountvol ended with $($taken.Code): $($taken.Output)"
        [System.IO.Directory]::Delete($folder)
        [void] (Invoke-Cvol @('umount', 'mounted-bare'))
    }
    finally { [void] (Invoke-Cvol @('umount', 'mounted-bare', '--force') @(0, 3)) }
    [void] (Invoke-Cvol @('rm', 'mounted-bare'))
    if ($null -ne (Get-Command Get-StorageSetting -ErrorAction SilentlyContinue)) {
        'this host brings new disks up by the policy {0}' -f (Get-StorageSetting).NewDiskPolicy
    }
}

Invoke-Item 'a mount of cvol for reading refuses writing, and is compacted by Windows' {
    Assert-Mount
    [void] (Invoke-Cvol @('create', 'mounted-ro', '--size', '256M'))
    $letter = Get-FreeLetter
    try {
        [void] (Invoke-Cvol @('mount', 'mounted-ro', $letter, '--readonly'))
        $wrote = $true
        try { [IO.File]::WriteAllText("$letter\no.txt", 'no') } catch { $wrote = $false }
        Confirm-That (-not $wrote) 'it was written'
        $won = Invoke-Cvol @('compact', 'mounted-ro', '--json') | ConvertFrom-Json
        Confirm-That ($won.by_system -eq $true) 'Windows did not do it'
    }
    finally { [void] (Invoke-Cvol @('umount', 'mounted-ro', '--force') @(0, 3)) }
    [void] (Invoke-Cvol @('rm', 'mounted-ro'))
}

Invoke-Item 'files that are open keep a mount of cvol, and force passes over them' {
    Assert-Mount
    [void] (Invoke-Cvol @('create', 'mounted-busy', '--size', '256M'))
    $letter = Get-FreeLetter
    $stream = $null
    try {
        [void] (Invoke-Cvol @('mount', 'mounted-busy', $letter))
        $stream = [IO.File]::Create("$letter\open.txt")
        [void] (Invoke-Cvol @('umount', $letter) @(5))
        Confirm-That ([IO.File]::Exists("$letter\open.txt")) 'it is gone all the same'
        [void] (Invoke-Cvol @('umount', $letter, '--force'))
    }
    finally {
        if ($null -ne $stream) { try { $stream.Dispose() } catch { Write-Verbose $_.Exception.Message } }
        [void] (Invoke-Cvol @('umount', 'mounted-busy', '--force') @(0, 3))
    }
    [void] (Invoke-Cvol @('rm', 'mounted-busy'))
}

Invoke-Item 'a volume that is mounted by cvol is made larger by Windows' {
    Assert-Mount
    [void] (Invoke-Cvol @('create', 'mounted-grow', '--size', '256M'))
    $letter = Get-FreeLetter
    try {
        [void] (Invoke-Cvol @('mount', 'mounted-grow', $letter))
        [void] (Invoke-Cvol @('resize', 'mounted-grow', '512M') @(5))
        $grown = Invoke-Cvol @('resize', 'mounted-grow', '512M', '--image-only', '--json') | ConvertFrom-Json
        Confirm-That ($grown.by_system -eq $true) 'Windows did not do it'
        if ($null -ne (Get-Command Resize-Partition -ErrorAction SilentlyContinue)) {
            $name = $letter.Substring(0, 1)
            Update-HostStorageCache
            $most = (Get-PartitionSupportedSize -DriveLetter $name).SizeMax
            Resize-Partition -DriveLetter $name -Size $most
            Confirm-That ((Get-Volume -DriveLetter $name).Size -gt 400 * $MB) 'what is on it did not grow'
        }
    }
    finally { [void] (Invoke-Cvol @('umount', 'mounted-grow', '--force') @(0, 3)) }
    [void] (Invoke-Cvol @('fsck', 'mounted-grow'))
    [void] (Invoke-Cvol @('rm', 'mounted-grow'))
}

Invoke-Item 'Windows makes ReFS on a volume of cvol' {
    Assert-Mount
    [void] (Invoke-Cvol @('create', 'refs', '--size', '8G', '--fs', 'refs', '--volume-label', 'checklist'))
    $letter = Get-FreeLetter
    try {
        [void] (Invoke-Cvol @('mount', 'refs', $letter))
        $found = (New-Object IO.DriveInfo $letter.Substring(0, 1)).DriveFormat
        Confirm-That ($found -eq 'ReFS') "it is $found"
        [IO.File]::WriteAllText("$letter\hello.txt", 'hello')
    }
    finally { [void] (Invoke-Cvol @('umount', 'refs', '--force') @(0, 3)) }
    [void] (Invoke-Cvol @('rm', 'refs'))
}

Invoke-Item 'Windows formats a volume of cvol as the writable layer of a container' {
    Assert-Mount
    if (-not (Test-Path -LiteralPath "$env:SystemRoot\System32\computestorage.dll")) { Skip-Item 'computestorage.dll is missing' }
    [void] (Invoke-Cvol @('create', 'layer', '--size', '20G', '--fs', 'scratch'))
    [void] (Invoke-Cvol @('tree', 'layer'))
    [void] (Invoke-Cvol @('rm', 'layer'))
}

# ---------------------------------------------------------------------------------------------------
# 4. Machines.

Invoke-Item 'a virtual machine takes a volume as a disk' {
    Assert-HyperV
    if (-not $hasVms) { Skip-Item 'New-VM is missing' }
    [void] (Invoke-Cvol @('create', 'vmdisk', '--size', '64M'))
    $name = 'cvol-checklist-' + [guid]::NewGuid().ToString('N').Substring(0, 8)
    $vm = New-VM -Name $name -Generation 2 -MemoryStartupBytes (256 * $MB) -NoVHD -Path $script:Work
    try {
        Set-VMFirmware -VM $vm -EnableSecureBoot Off
        # A checkpoint of Windows' own would put another image on top of this one.
        Set-VM -VM $vm -CheckpointType Disabled
        Add-VMHardDiskDrive -VM $vm -ControllerType SCSI -Path (Get-Image 'vmdisk')
        # It finds nothing to boot, which is no matter: the disk is opened by then.
        Start-VM -VM $vm
        Confirm-That ((Get-VM -Name $name).State -eq 'Running') 'it does not run'
        [void] (Invoke-Cvol @('rm', 'vmdisk') @(5))
    }
    finally {
        Stop-VM -Name $name -TurnOff -Force -ErrorAction SilentlyContinue
        Remove-VM -Name $name -Force -ErrorAction SilentlyContinue
    }
}

$hcsSource = @'
using System;
using System.Runtime.InteropServices;

public static class ChecklistHcs
{
    [DllImport("computecore.dll", CharSet = CharSet.Unicode, ExactSpelling = true)]
    static extern IntPtr HcsCreateOperation(IntPtr context, IntPtr callback);
    [DllImport("computecore.dll", CharSet = CharSet.Unicode, ExactSpelling = true)]
    static extern void HcsCloseOperation(IntPtr operation);
    [DllImport("computecore.dll", CharSet = CharSet.Unicode, ExactSpelling = true)]
    static extern int HcsWaitForOperationResult(IntPtr operation, uint milliseconds, out IntPtr document);
    [DllImport("computecore.dll", CharSet = CharSet.Unicode, ExactSpelling = true)]
    static extern int HcsCreateComputeSystem(string id, string configuration, IntPtr operation, IntPtr security, out IntPtr system);
    [DllImport("computecore.dll", CharSet = CharSet.Unicode, ExactSpelling = true)]
    static extern int HcsStartComputeSystem(IntPtr system, IntPtr operation, string options);
    [DllImport("computecore.dll", CharSet = CharSet.Unicode, ExactSpelling = true)]
    static extern int HcsTerminateComputeSystem(IntPtr system, IntPtr operation, string options);
    [DllImport("computecore.dll", CharSet = CharSet.Unicode, ExactSpelling = true)]
    static extern int HcsModifyComputeSystem(IntPtr system, IntPtr operation, string configuration, IntPtr identity);
    [DllImport("computecore.dll", CharSet = CharSet.Unicode, ExactSpelling = true)]
    static extern void HcsCloseComputeSystem(IntPtr system);
    [DllImport("computecore.dll", CharSet = CharSet.Unicode, ExactSpelling = true)]
    static extern int HcsGrantVmAccess(string id, string file);
    [DllImport("computecore.dll", CharSet = CharSet.Unicode, ExactSpelling = true)]
    static extern int HcsRevokeVmAccess(string id, string file);
    [DllImport("computecore.dll", CharSet = CharSet.Unicode, ExactSpelling = true)]
    static extern int HcsGetServiceProperties(string query, out IntPtr result);
    [DllImport("kernel32.dll")]
    static extern IntPtr LocalFree(IntPtr memory);

    static string Take(IntPtr text)
    {
        if (text == IntPtr.Zero) return "";
        string taken = Marshal.PtrToStringUni(text);
        LocalFree(text);
        return taken;
    }

    static void Check(string what, int result, string document)
    {
        if (result < 0)
            throw new Exception(string.Format("{0}: 0x{1:X8} {2}", what, result, document));
    }

    delegate int Call(IntPtr operation);

    static string Run(string what, Call call)
    {
        IntPtr operation = HcsCreateOperation(IntPtr.Zero, IntPtr.Zero);
        try
        {
            Check(what, call(operation), "");
            IntPtr document;
            int result = HcsWaitForOperationResult(operation, 60000, out document);
            string text = Take(document);
            Check(what, result, text);
            return text;
        }
        finally { HcsCloseOperation(operation); }
    }

    public static string ServiceProperties()
    {
        IntPtr result;
        Check("HcsGetServiceProperties", HcsGetServiceProperties("{\"PropertyTypes\":[\"Basic\"]}", out result), "");
        return Take(result);
    }

    public static IntPtr Create(string id, string document)
    {
        IntPtr system = IntPtr.Zero;
        Run("HcsCreateComputeSystem", delegate(IntPtr operation) { return HcsCreateComputeSystem(id, document, operation, IntPtr.Zero, out system); });
        return system;
    }

    public static void Start(IntPtr system)
    {
        Run("HcsStartComputeSystem", delegate(IntPtr operation) { return HcsStartComputeSystem(system, operation, null); });
    }

    public static void Modify(IntPtr system, string document)
    {
        Run("HcsModifyComputeSystem " + document, delegate(IntPtr operation) { return HcsModifyComputeSystem(system, operation, document, IntPtr.Zero); });
    }

    // What the service answers, for those who expect it to refuse.
    public static int ModifyCode(IntPtr system, string document)
    {
        IntPtr operation = HcsCreateOperation(IntPtr.Zero, IntPtr.Zero);
        try
        {
            int result = HcsModifyComputeSystem(system, operation, document, IntPtr.Zero);
            if (result < 0) return result;
            IntPtr text;
            result = HcsWaitForOperationResult(operation, 60000, out text);
            Take(text);
            return result;
        }
        finally { HcsCloseOperation(operation); }
    }

    public static void End(IntPtr system)
    {
        try { Run("HcsTerminateComputeSystem", delegate(IntPtr operation) { return HcsTerminateComputeSystem(system, operation, null); }); }
        finally { HcsCloseComputeSystem(system); }
    }

    public static void Grant(string id, string file) { Check("HcsGrantVmAccess", HcsGrantVmAccess(id, file), ""); }
    public static void Revoke(string id, string file) { Check("HcsRevokeVmAccess", HcsRevokeVmAccess(id, file), ""); }
}
'@

function Assert-Hcs {
    if (-not $isElevated) { Skip-Item 'not run as an administrator' }
    if (-not $hasHcs) { Skip-Item 'computecore.dll is missing: the feature Containers or Hyper-V is off' }
    if (-not ('ChecklistHcs' -as [type])) { Add-Type -TypeDefinition $hcsSource }
}

# A machine without a system in it: it has a controller for disks, and runs until it is ended.
function New-HcsDocument([string] $Schema) {
    $minor = [int] $Schema.Split('.')[1]
    return @{
        Owner = 'cvol-checklist'
        SchemaVersion = @{ Major = 2; Minor = $minor }
        ShouldTerminateOnLastHandleClosed = $true
        VirtualMachine = @{
            StopOnReset = $true
            Chipset = @{ Uefi = @{} }
            ComputeTopology = @{ Memory = @{ SizeInMB = 256; AllowOvercommit = $true }; Processor = @{ Count = 1 } }
            Devices = @{ Scsi = @{} }
        }
    }
}

Invoke-Item 'the Host Compute Service says which schemas it has' {
    Assert-Hcs
    $text = [ChecklistHcs]::ServiceProperties()
    Confirm-That ($text -match 'SupportedSchemaVersions') $text
    $text
}

Invoke-Item 'the Host Compute Service takes the disks of cvol render in the document of a machine' {
    Assert-Hcs
    [void] (Invoke-Cvol @('create', 'hcs-doc', '--size', '64M'))
    $parts = Invoke-Cvol @('render', '--as', 'hcs', '--guest', 'windows', '--schema', '2.1', '--mount', 'source=hcs-doc,target=D:') | ConvertFrom-Json
    $id = [guid]::NewGuid().ToString()
    $document = New-HcsDocument '2.1'
    $document.VirtualMachine.Devices.Scsi = $parts.VirtualMachine.Devices.Scsi
    $image = Get-Image 'hcs-doc'
    [ChecklistHcs]::Grant($id, $image)
    try {
        $system = [ChecklistHcs]::Create($id, ($document | ConvertTo-Json -Depth 20))
        try { [ChecklistHcs]::Start($system) }
        finally { [ChecklistHcs]::End($system) }
    }
    finally { [ChecklistHcs]::Revoke($id, $image) }
}

foreach ($schema in @('2.1', '2.3', '2.6')) {
    Invoke-Item "the Host Compute Service adds and removes a disk of cvol render while the machine runs (schema $schema)" {
        Assert-Hcs
        $volume = 'hcs-live-' + $schema.Replace('.', '-')
        [void] (Invoke-Cvol @('create', $volume, '--size', '64M'))
        $parts = Invoke-Cvol @('render', '--as', 'hcs', '--guest', 'windows', '--schema', $schema, '--mount', "source=$volume,target=D:") | ConvertFrom-Json
        # What concerns the guest alone has no path.
        $hasPath = { $_.PSObject.Properties['ResourcePath'] -and $_.ResourcePath }
        $adds = @($parts.Add | Where-Object $hasPath)
        $removes = @($parts.Remove | Where-Object $hasPath)
        Confirm-That ($adds.Count -eq 1 -and $removes.Count -eq 1) 'the plan has other requests than one disk'
        $id = [guid]::NewGuid().ToString()
        $document = New-HcsDocument $schema
        $controller = $adds[0].ResourcePath.Split('/')[3]
        $document.VirtualMachine.Devices.Scsi = @{ $controller = @{ Attachments = @{} } }
        $image = Get-Image $volume
        $system = [ChecklistHcs]::Create($id, ($document | ConvertTo-Json -Depth 20))
        try {
            [ChecklistHcs]::Start($system)
            [ChecklistHcs]::Grant($id, $image)
            [ChecklistHcs]::Modify($system, ($adds[0] | ConvertTo-Json -Depth 20))
            [void] (Invoke-Cvol @('rm', $volume) @(5))
            [ChecklistHcs]::Modify($system, ($removes[0] | ConvertTo-Json -Depth 20))
            [ChecklistHcs]::Revoke($id, $image)
        }
        finally { [ChecklistHcs]::End($system) }
        [void] (Invoke-Cvol @('rm', $volume))
    }
}

Invoke-Item 'cvol hcs grant makes the rule that HcsGrantVmAccess makes' {
    Assert-Hcs
    $help = Invoke-Cvol @('hcs', '--help')
    if ($help -notmatch '(?m)^\s+grant\b') { Skip-Item 'this cvol.exe has no cvol hcs grant' }
    $id = [guid]::NewGuid().ToString()
    $files = @('by-service.bin', 'by-cvol.bin') | ForEach-Object { Join-Path $script:Work $_ }
    foreach ($file in $files) { [IO.File]::WriteAllText($file, 'x') }
    [ChecklistHcs]::Grant($id, $files[0])
    [void] (Invoke-Cvol @('hcs', 'grant', $id, $files[1]))
    $sids = foreach ($file in $files) {
        $rules = (Get-Acl -LiteralPath $file).GetAccessRules($true, $false, [Security.Principal.SecurityIdentifier])
        @($rules | ForEach-Object { $_.IdentityReference.Value } | Where-Object { $_ -like 'S-1-5-83-1-*' })
    }
    Confirm-That (@($sids).Count -eq 2 -and $sids[0] -eq $sids[1]) "the service made $($sids -join ', cvol ')"
    [void] (Invoke-Cvol @('hcs', 'revoke', $id, $files[1]))
    [ChecklistHcs]::Revoke($id, $files[0])
}

$hcsController = 'df6d0690-79e5-55b6-a5ec-c1e2f77f580a'

# A request about a disk at a place of that controller.
function New-HcsDiskRequest([string] $Verb, [int] $Lun, [string] $Image, [bool] $ReadOnly = $false) {
    $request = @{
        ResourcePath = "VirtualMachine/Devices/Scsi/$hcsController/Attachments/$Lun"
        RequestType = $Verb
    }
    if ($Verb -eq 'Add') {
        $request.Settings = @{ Type = 'VirtualDisk'; Path = $Image; ReadOnly = $ReadOnly }
    }
    return ($request | ConvertTo-Json -Depth 20)
}

# A machine that runs and has that controller, for a body that gets it and its identifier.
function Use-HcsMachine([scriptblock] $Body) {
    $id = [guid]::NewGuid().ToString()
    $document = New-HcsDocument '2.1'
    $document.VirtualMachine.Devices.Scsi = @{ $hcsController = @{ Attachments = @{} } }
    $system = [ChecklistHcs]::Create($id, ($document | ConvertTo-Json -Depth 20))
    try {
        [ChecklistHcs]::Start($system)
        & $Body $system $id
    }
    finally { [ChecklistHcs]::End($system) }
}

# The service has to answer a request with this code.
function Confirm-HcsCode([IntPtr] $System, [string] $Request, [string] $Code, [string] $What) {
    $told = '0x{0:X8}' -f [ChecklistHcs]::ModifyCode($System, $Request)
    Confirm-That ($told -eq $Code) "${What}: $told and not $Code"
}

Invoke-Item 'the Host Compute Service opens no disk that it was not granted' {
    Assert-Hcs
    [void] (Invoke-Cvol @('create', 'hcs-access', '--size', '64M'))
    $image = Get-Image 'hcs-access'
    Use-HcsMachine {
        param($system, $id)
        Confirm-HcsCode $system (New-HcsDiskRequest 'Add' 0 $image) '0x80070005' 'before it is granted'
        [ChecklistHcs]::Grant($id, $image)
        Confirm-HcsCode $system (New-HcsDiskRequest 'Add' 0 $image) '0x00000000' 'when it is granted'
        Confirm-HcsCode $system (New-HcsDiskRequest 'Remove' 0 $image) '0x00000000' 'taken away'
        [ChecklistHcs]::Revoke($id, $image)
        Confirm-HcsCode $system (New-HcsDiskRequest 'Add' 0 $image) '0x80070005' 'when that was revoked'
    }
    [void] (Invoke-Cvol @('rm', 'hcs-access'))
}

Invoke-Item 'the Host Compute Service opens a clone when what it stands on was granted' {
    Assert-Hcs
    [void] (Invoke-Cvol @('create', 'hcs-base', '--size', '64M'))
    [void] (Invoke-Cvol @('clone', 'hcs-base', 'hcs-clone'))
    $image = Get-Image 'hcs-clone'
    $parent = (Get-VHD -Path $image).ParentPath
    Use-HcsMachine {
        param($system, $id)
        [ChecklistHcs]::Grant($id, $image)
        $told = '0x{0:X8}' -f [ChecklistHcs]::ModifyCode($system, (New-HcsDiskRequest 'Add' 0 $image))
        Confirm-That ($told -ne '0x00000000') 'it opened a parent that it was not granted'
        [ChecklistHcs]::Grant($id, $parent)
        Confirm-HcsCode $system (New-HcsDiskRequest 'Add' 0 $image) '0x00000000' 'when the parent is granted'
        Confirm-HcsCode $system (New-HcsDiskRequest 'Remove' 0 $image) '0x00000000' 'taken away'
        [ChecklistHcs]::Revoke($id, $parent)
        [ChecklistHcs]::Revoke($id, $image)
        "without the parent: $told"
    }
    [void] (Invoke-Cvol @('rm', 'hcs-clone'))
    [void] (Invoke-Cvol @('rm', 'hcs-base'))
}

Invoke-Item 'the Host Compute Service answers with the codes that cvol knows' {
    Assert-Hcs
    [void] (Invoke-Cvol @('create', 'hcs-codes', '--size', '64M'))
    $image = Get-Image 'hcs-codes'
    $noVhd = Join-Path $script:Work 'no-image.vhdx'
    [System.IO.File]::WriteAllText($noVhd, 'no image at all')
    Use-HcsMachine {
        param($system, $id)
        [ChecklistHcs]::Grant($id, $image)
        [ChecklistHcs]::Grant($id, $noVhd)
        Confirm-HcsCode $system (New-HcsDiskRequest 'Remove' 0 '') '0x80070490' 'nothing at a place'
        Confirm-HcsCode $system (New-HcsDiskRequest 'Add' 0 $image) '0x00000000' 'a disk'
        Confirm-HcsCode $system (New-HcsDiskRequest 'Add' 0 $image) '0x800700B7' 'a place that is taken'
        Confirm-HcsCode $system (New-HcsDiskRequest 'Add' 1 $image) '0x80070020' 'a file that is in use'
        Confirm-HcsCode $system '{"ResourcePath":"VirtualMachine/Devices/Scsi","No":1}' '0x8037010D' 'no field'
        $told = '0x{0:X8}' -f [ChecklistHcs]::ModifyCode($system, (New-HcsDiskRequest 'Add' 2 $noVhd))
        Confirm-HcsCode $system (New-HcsDiskRequest 'Remove' 0 '') '0x00000000' 'taken away'
        [ChecklistHcs]::Revoke($id, $noVhd)
        [ChecklistHcs]::Revoke($id, $image)
        Confirm-That ($told -eq '0x80070570' -or $told.StartsWith('0xC03A')) "a file that is no disk: $told"
    }
    [void] (Invoke-Cvol @('rm', 'hcs-codes'))
}

Invoke-Item 'cvol lists a machine of the Host Compute Service and shows it' {
    Assert-Hcs
    $help = Invoke-Cvol @('hcs', '--help')
    if ($help -notmatch '(?m)^\s+ls\b') { Skip-Item 'this cvol.exe has no cvol hcs ls' }
    $id = [guid]::NewGuid().ToString()
    $document = New-HcsDocument '2.1'
    $system = [ChecklistHcs]::Create($id, ($document | ConvertTo-Json -Depth 20))
    try {
        [ChecklistHcs]::Start($system)
        $listed = Invoke-Cvol @('hcs', 'ls')
        Confirm-That ($listed.ToLowerInvariant().Contains($id)) "$id is not in what it lists: $listed"
        $shown = Invoke-Cvol @('hcs', 'show', $id)
        Confirm-That ($shown.ToLowerInvariant().Contains($id)) "it shows: $shown"
    }
    finally { [ChecklistHcs]::End($system) }
    [void] (Invoke-Cvol @('hcs', 'show', $id) @(3))
}

Invoke-Item 'cvol attaches a volume to a machine of the Host Compute Service by itself' {
    Assert-Hcs
    $help = Invoke-Cvol @('attach', '--help')
    if ($help -notmatch '--hcs') { Skip-Item 'this cvol.exe plans for the service, and does not carry plans out' }
    [void] (Invoke-Cvol @('create', 'hcs-own', '--size', '64M'))
    $id = [guid]::NewGuid().ToString()
    $document = New-HcsDocument '2.1'
    $document.VirtualMachine.Devices.Scsi = @{ 'df6d0690-79e5-55b6-a5ec-c1e2f77f580a' = @{ Attachments = @{} } }
    $system = [ChecklistHcs]::Create($id, ($document | ConvertTo-Json -Depth 20))
    try {
        [ChecklistHcs]::Start($system)
        # There is no system in it, and so no agent: what is done is the host's part.
        [void] (Invoke-Cvol @('attach', '--vm', 'checklist', '--hcs', $id, '--guest', 'windows', '--guest-channel', 'none', '--mount', 'source=hcs-own,target=D:'))
        [void] (Invoke-Cvol @('rm', 'hcs-own') @(5))
        [void] (Invoke-Cvol @('detach', '--vm', 'checklist', '--all'))
    }
    finally { [ChecklistHcs]::End($system) }
    [void] (Invoke-Cvol @('rm', 'hcs-own'))
}

Invoke-Item 'cvol attaches nothing where no agent answers at the socket of the hypervisor' {
    Assert-Hcs
    [void] (Invoke-Cvol @('create', 'hcs-silent', '--size', '64M'))
    $id = [guid]::NewGuid().ToString()
    $document = New-HcsDocument '2.1'
    $document.VirtualMachine.Devices.Scsi = @{ $hcsController = @{ Attachments = @{} } }
    $document.VirtualMachine.Devices.HvSocket = @{ HvSocketConfig = @{ DefaultConnectSecurityDescriptor = 'D:P(A;;FA;;;SY)(A;;FA;;;BA)' } }
    $system = [ChecklistHcs]::Create($id, ($document | ConvertTo-Json -Depth 20))
    try {
        [ChecklistHcs]::Start($system)
        [void] (Invoke-Cvol @('attach', '--vm', 'silent', '--hcs', $id, '--guest', 'windows', '--mount', 'source=hcs-silent,target=D:') @(8))
        $script:CvolErrors
    }
    finally { [ChecklistHcs]::End($system) }
    [void] (Invoke-Cvol @('rm', 'hcs-silent'))
}

# ---------------------------------------------------------------------------------------------------
# 5. Shares: what a Windows guest is told to run, run here; logins that are tried.

Invoke-Item 'the commands for a Windows guest map a share and take it away again' {
    if (-not $isElevated) { Skip-Item 'not run as an administrator' }
    if ($null -eq (Get-Command New-SmbShare -ErrorAction SilentlyContinue)) { Skip-Item 'New-SmbShare is missing' }
    if ($null -eq (Get-Command New-SmbGlobalMapping -ErrorAction SilentlyContinue)) { Skip-Item 'New-SmbGlobalMapping is missing' }
    $suffix = [guid]::NewGuid().ToString('N').Substring(0, 8)
    $user = "cvol$suffix"
    $password = 'Aa1!' + [guid]::NewGuid().ToString('N')
    $share = "cvol-$suffix"
    $shared = Join-Path $script:Work 'shared'
    $target = "C:\cvol-checklist-$suffix"
    [void] (New-Item -ItemType Directory -Force $shared)
    [System.IO.File]::WriteAllText((Join-Path $shared 'hello.txt'), 'hello')
    New-TestUser $user $password
    try {
        [void] (New-SmbShare -Name $share -Path $shared -ReadAccess $user -EncryptData $true)
        & icacls.exe $shared /grant "${user}:(OI)(CI)RX" | Out-Null
        $mount = "type=smb,source=//$env:COMPUTERNAME/$share,target=$target,username=$env:COMPUTERNAME\$user,readonly"
        $script = Invoke-Cvol @('render', '--as', 'script', '--guest', 'windows', '--mount', $mount) | ConvertFrom-Json
        foreach ($command in $script.mount) {
            $program = $command.words[0]
            $words = @($command.words | Select-Object -Skip 1)
            $stdin = if ($command.reads_credentials) { "$env:COMPUTERNAME\$user`r`n$password`r`n" } else { $null }
            $ran = Invoke-Program $program $words $stdin
            Confirm-That ($ran.Code -eq 0) "the command ended with $($ran.Code): $($ran.Output) $($ran.Errors)"
        }
        Confirm-That ((Get-Content -Raw -LiteralPath "$target\hello.txt") -eq 'hello') 'hello.txt is not there'
        foreach ($command in $script.unmount) {
            $program = $command.words[0]
            $words = @($command.words | Select-Object -Skip 1)
            $ran = Invoke-Program $program $words
            Confirm-That ($ran.Code -eq 0) "the command ended with $($ran.Code): $($ran.Output) $($ran.Errors)"
        }
        Confirm-That (-not (Test-Path -LiteralPath $target)) "$target is still there"
    }
    finally {
        if (Test-Path -LiteralPath $target) { [System.IO.Directory]::Delete($target) }
        Get-SmbGlobalMapping -ErrorAction SilentlyContinue | Where-Object { $_.RemotePath -like "*\$share" } |
            Remove-SmbGlobalMapping -Force -ErrorAction SilentlyContinue
        Remove-SmbShare -Name $share -Force -ErrorAction SilentlyContinue
        Remove-TestUser $user
    }
}

# A share of this host for a user of its own, while a script runs.
function Use-TestShare([scriptblock] $Body) {
    if (-not $isElevated) { Skip-Item 'not run as an administrator' }
    if ($null -eq (Get-Command New-SmbShare -ErrorAction SilentlyContinue)) { Skip-Item 'New-SmbShare is missing' }
    $suffix = [guid]::NewGuid().ToString('N').Substring(0, 8)
    $script:ShareUser = "cvol$suffix"
    $script:SharePassword = 'Aa1!' + [guid]::NewGuid().ToString('N')
    $script:Share = "cvol-$suffix"
    $shared = Join-Path $script:Work "share-$suffix"
    [void] (New-Item -ItemType Directory -Force (Join-Path $shared 'folder'))
    New-TestUser $script:ShareUser $script:SharePassword
    try {
        [void] (New-SmbShare -Name $script:Share -Path $shared -ReadAccess $script:ShareUser -EncryptData $true)
        & icacls.exe $shared /grant "$($script:ShareUser):(OI)(CI)RX" | Out-Null
        & $Body
    }
    finally {
        Remove-SmbShare -Name $script:Share -Force -ErrorAction SilentlyContinue
        Remove-TestUser $script:ShareUser
    }
}

# Makes a volume on a share with the login tried, which has to end with this code; what it says.
function Confirm-Login([string] $Source, [int] $Code, [string] $What, [string] $Password = $script:SharePassword) {
    $name = 'login-' + [guid]::NewGuid().ToString('N').Substring(0, 8)
    $words = @('create', $name, '--type', 'smb', '--source', $Source, '--username', $script:ShareUser, '--password-fd', '0')
    # PowerShell ends what it hands over with a line break.
    $ran = Invoke-Program $script:CvolProgram $words $Password
    if ($ran.Code -eq 0) { [void] (Invoke-Cvol @('rm', $name)) }
    Confirm-That ($ran.Code -eq $Code) "${What}: it ended with $($ran.Code): $($ran.Errors)"
    Confirm-That (-not $ran.Errors.Contains($Password)) "${What}: it tells the password"
    return $ran.Errors
}

Invoke-Item 'cvol tries a login at a share before it keeps a volume, and leaves no connection' {
    Use-TestShare {
        $share = $script:Share
        $told = Confirm-Login "//localhost/$share" 9 'a wrong password' 'not the password'
        Confirm-That ($told -match 'password is wrong') "a wrong password: it says $told"
        [void] (Confirm-Login "//localhost/$share" 0 'the right password')
        [void] (Confirm-Login "//localhost/$share/folder" 0 'a folder of the share')
        $left = (& net.exe use) -join "`n"
        Confirm-That (-not $left.Contains($share)) "a connection is left: $left"
        # A session that was ended a moment ago lets nobody in with another password.
        [void] (Confirm-Login "//localhost/$share" 9 'a wrong password after the right one' 'not the password')
        [void] (Confirm-Login "//localhost/$share/none" 3 'a folder that is not there')
        [void] (Confirm-Login "//localhost/$share-none" 3 'a share that is not there')
        [void] (Confirm-Login "//cvol-checklist.invalid/$share" 8 'a server that is not there')
        $account = [ADSI] "WinNT://$env:COMPUTERNAME/$($script:ShareUser),user"
        $account.Put('UserFlags', ($account.UserFlags.Value -bor 2))
        $account.SetInfo()
        $told = Confirm-Login "//localhost/$share" 9 'a disabled account'
        Confirm-That ($told -match 'disabled') "a disabled account: it says $told"
    }
}

Invoke-Item 'cvol refuses a login at a server that lets the user into no share' {
    Use-TestShare {
        Revoke-SmbShareAccess -Name $script:Share -AccountName $script:ShareUser -Force | Out-Null
        [void] (Confirm-Login "//localhost/$($script:Share)" 9 'a share for others')
    }
}

Invoke-Item 'a session of the same user at a server is told as such, and left as it is' {
    Use-TestShare {
        if ($null -eq (Get-Command New-SmbMapping -ErrorAction SilentlyContinue)) { Skip-Item 'New-SmbMapping is missing' }
        $share = $script:Share
        $other = 'o' + $script:ShareUser
        New-TestUser $other $script:SharePassword
        try {
            Grant-SmbShareAccess -Name $share -AccountName $other -AccessRight Read -Force | Out-Null
            [void] (New-SmbMapping -RemotePath "\\127.0.0.1\$share" -UserName "$env:COMPUTERNAME\$other" -Password $script:SharePassword)
            $told = Confirm-Login "//127.0.0.1/$share" 5 'a session as somebody else'
            Confirm-That ($told -match 'connected') "it says: $told"
            Confirm-That ($null -ne (Get-SmbMapping -RemotePath "\\127.0.0.1\$share" -ErrorAction SilentlyContinue)) 'the connection is gone'
        }
        finally {
            Remove-SmbMapping -RemotePath "\\127.0.0.1\$share" -Force -ErrorAction SilentlyContinue
            Remove-TestUser $other
        }
    }
}

# ---------------------------------------------------------------------------------------------------
# 6. The C interface.

$librarySource = @'
using System;
using System.Runtime.InteropServices;

public static class ChecklistLibrary
{
    [DllImport("containerv_volume.dll")] static extern IntPtr containerv_volume_version();
    [DllImport("containerv_volume.dll")] static extern IntPtr containerv_volume_last_error();
    [DllImport("containerv_volume.dll")] static extern int containerv_volume_last_error_code();
    [DllImport("containerv_volume.dll", CharSet = CharSet.Ansi)] static extern int containerv_volume_create_fs(string name, ulong size, string filesystem);
    [DllImport("containerv_volume.dll", CharSet = CharSet.Ansi)] static extern int containerv_volume_delete(string name);
    [DllImport("containerv_volume.dll")] static extern int containerv_volume_set_root(byte[] root);
    [DllImport("containerv_volume.dll")] static extern int containerv_volume_list(out IntPtr volumes, out int count);
    [DllImport("containerv_volume.dll")] static extern void containerv_volume_list_free(IntPtr volumes);
    [DllImport("containerv_volume.dll")] static extern ulong containerv_volume_outstanding();

    static void Check(int result)
    {
        if (result != 0)
            throw new Exception(Marshal.PtrToStringAnsi(containerv_volume_last_error()));
    }

    public static string Version() { return Marshal.PtrToStringAnsi(containerv_volume_version()); }
    public static void Create(string name) { Check(containerv_volume_create_fs(name, 64, "NTFS")); }
    public static void Delete(string name) { Check(containerv_volume_delete(name)); }
    // Texts are UTF-8 there.
    public static void Root(string root)
    {
        Check(containerv_volume_set_root(root == null ? null : System.Text.Encoding.UTF8.GetBytes(root + "\0")));
    }
    public static ulong Outstanding() { return containerv_volume_outstanding(); }
    public static int CodeOfMissing()
    {
        if (containerv_volume_delete("no-such-volume") == 0) return -1;
        return containerv_volume_last_error_code();
    }
    public static int Count()
    {
        IntPtr volumes;
        int count;
        Check(containerv_volume_list(out volumes, out count));
        containerv_volume_list_free(volumes);
        return count;
    }
}
'@

Invoke-Item 'containerv_volume.dll makes, lists and removes a volume' {
    if (-not (Test-Path -LiteralPath $Library)) { Skip-Item "$Library is missing" }
    if (-not [Environment]::Is64BitProcess) { Skip-Item 'this is a PowerShell of 32 bits' }
    $env:PATH = (Split-Path -Parent (Resolve-Path -LiteralPath $Library).Path) + ';' + $env:PATH
    if (-not ('ChecklistLibrary' -as [type])) { Add-Type -TypeDefinition $librarySource }
    [ChecklistLibrary]::Root((Join-Path $script:Work 'library-store'))
    [ChecklistLibrary]::Create('from-library')
    Confirm-That ([ChecklistLibrary]::Count() -eq 1) 'it lists another number than 1'
    Confirm-That ([ChecklistLibrary]::CodeOfMissing() -eq 2) 'a missing volume is not CV_VOLUME_NOT_FOUND'
    [ChecklistLibrary]::Delete('from-library')
    Confirm-That ([ChecklistLibrary]::Outstanding() -eq 0) 'something was not given back'
    [ChecklistLibrary]::Root([NullString]::Value)
    [ChecklistLibrary]::Version()
}

}
finally {
    Dismount-Everything
    $env:CVOL_ROOT = $rootBefore
    $env:PATH = $pathBefore
    try { [Console]::OutputEncoding = $encodingBefore } catch { Write-Verbose $_.Exception.Message }
    if ($Keep) {
        Write-Host "The folder is $script:Work"
    }
    else {
        # The long way: paths past 260 characters are among it.
        $removed = Invoke-Program "$env:SystemRoot\System32\cmd.exe" @('/d', '/c', 'rd', '/s', '/q', "\\?\$script:Work")
        if ([IO.Directory]::Exists($script:Work)) {
            Write-Warning "The folder $script:Work could not be removed: $($removed.Errors)"
        }
    }
}

# ---------------------------------------------------------------------------------------------------

$failed = @($script:Results | Where-Object { $_.State -eq 'FAIL' }).Count
$skipped = @($script:Results | Where-Object { $_.State -eq 'SKIP' }).Count
$passed = $script:Results.Count - $failed - $skipped
Write-Host ''
Write-Host ('{0} passed, {1} failed, {2} skipped' -f $passed, $failed, $skipped)
exit $failed
