//! A socket of Hyper-V, opened and connected. From then on it is one like any other.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::net::TcpStream;
use std::os::windows::io::{AsRawSocket, FromRawSocket, OwnedSocket, RawSocket};
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use windows_sys::Win32::Networking::WinSock::{
    AF_HYPERV, INVALID_SOCKET, SOCK_STREAM, SOCKET, WSA_FLAG_NO_HANDLE_INHERIT,
    WSA_FLAG_OVERLAPPED, WSADATA, WSAEAFNOSUPPORT, WSAEPROTONOSUPPORT, WSAESOCKTNOSUPPORT,
    WSAGetLastError, WSASocketW, WSAStartup, connect as connect_socket, setsockopt,
};
use windows_sys::Win32::System::Hypervisor::{
    HV_PROTOCOL_RAW, HVSOCKET_CONNECT_TIMEOUT, HVSOCKET_CONNECT_TIMEOUT_MAX, SOCKADDR_HV,
};
use windows_sys::core::GUID;

/// The version of Windows Sockets that is asked for: 2.2.
const VERSION: u16 = 0x0202;

pub(super) fn connect(machine: u128, service: u128, limit: Duration) -> io::Result<TcpStream> {
    start()?;
    let socket = open()?;
    let handle = usize::try_from(socket.as_raw_socket()).map_err(io::Error::other)?;
    limit_connecting(handle, limit)?;
    let address = SOCKADDR_HV {
        Family: AF_HYPERV,
        Reserved: 0,
        VmId: GUID::from_u128(machine),
        ServiceId: GUID::from_u128(service),
    };
    // SAFETY: an open socket, and an address of its family with its length.
    let connected = unsafe {
        connect_socket(
            handle,
            ptr::from_ref(&address).cast(),
            size::<SOCKADDR_HV>(),
        )
    };
    if connected != 0 {
        return Err(last_error());
    }
    Ok(TcpStream::from(socket))
}

/// Sockets are used for the first time.
fn start() -> io::Result<()> {
    static STARTED: OnceLock<i32> = OnceLock::new();
    let code = *STARTED.get_or_init(|| {
        let mut told = WSADATA::default();
        // SAFETY: room for what is told. It is never ended: sockets may be open until the process is.
        unsafe { WSAStartup(VERSION, &raw mut told) }
    });
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

fn open() -> io::Result<OwnedSocket> {
    let flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    let protocol = c_int::try_from(HV_PROTOCOL_RAW).map_err(io::Error::other)?;
    // SAFETY: no protocol information is given.
    let socket = unsafe {
        WSASocketW(
            c_int::from(AF_HYPERV),
            SOCK_STREAM,
            protocol,
            ptr::null(),
            0,
            flags,
        )
    };
    if socket == INVALID_SOCKET {
        return Err(last_error());
    }
    let socket = RawSocket::try_from(socket).map_err(io::Error::other)?;
    // SAFETY: it was opened just now, and nobody else has it.
    Ok(unsafe { OwnedSocket::from_raw_socket(socket) })
}

/// A guest that is not there is waited for no longer than this.
fn limit_connecting(socket: SOCKET, limit: Duration) -> io::Result<()> {
    let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    let limit = limit.clamp(1, HVSOCKET_CONNECT_TIMEOUT_MAX);
    let level = c_int::try_from(HV_PROTOCOL_RAW).map_err(io::Error::other)?;
    let name = c_int::try_from(HVSOCKET_CONNECT_TIMEOUT).map_err(io::Error::other)?;
    // SAFETY: an open socket, and a value of the length that is told.
    let set = unsafe {
        setsockopt(
            socket,
            level,
            name,
            ptr::from_ref(&limit).cast(),
            size::<u32>(),
        )
    };
    if set == 0 { Ok(()) } else { Err(last_error()) }
}

/// The size of a value that is handed over, in bytes.
fn size<T>() -> c_int {
    c_int::try_from(size_of::<T>()).unwrap_or(c_int::MAX)
}

fn last_error() -> io::Error {
    // SAFETY: it only reads what the thread was told last.
    let code = unsafe { WSAGetLastError() };
    let error = io::Error::from_raw_os_error(code);
    let is_unknown = [WSAEAFNOSUPPORT, WSAEPROTONOSUPPORT, WSAESOCKTNOSUPPORT].contains(&code);
    if is_unknown {
        let what = format!("this Windows has no sockets of Hyper-V ({error})");
        return io::Error::new(io::ErrorKind::Unsupported, what);
    }
    error
}
