//! Where the host of a machine of Hyper-V is heard: a socket of the hypervisor, which its host alone can
//! connect to.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::windows::io::{AsRawSocket, FromRawSocket, OwnedSocket, RawSocket};
use std::ptr;
use std::sync::{Arc, OnceLock};

use windows_sys::Win32::Networking::WinSock::{
    AF_HYPERV, INVALID_SOCKET, SOCK_STREAM, SOCKET, WSA_FLAG_NO_HANDLE_INHERIT,
    WSA_FLAG_OVERLAPPED, WSADATA, WSAEAFNOSUPPORT, WSAEPROTONOSUPPORT, WSAESOCKTNOSUPPORT,
    WSAGetLastError, WSASocketW, WSAStartup, accept, bind, listen,
};
use windows_sys::Win32::System::Hypervisor::{HV_GUID_PARENT, HV_PROTOCOL_RAW, SOCKADDR_HV};
use windows_sys::core::GUID;

use crate::agent::Agent;
use crate::conversation::{Ending, hold};

/// The version of Windows Sockets that is asked for: 2.2.
const VERSION: u16 = 0x0202;
/// How many connections wait.
const BACKLOG: c_int = 4;

/// Hears the host at a port of the hypervisor's sockets.
pub(crate) fn serve(port: u32, agent: &Arc<Agent>) -> io::Result<()> {
    let listener = listening(port)?;
    loop {
        // SAFETY: an open socket, and nobody who wants to know who connects.
        let accepted = unsafe { accept(handle(&listener)?, ptr::null_mut(), ptr::null_mut()) };
        let stream = Line(Arc::new(TcpStream::from(owned(accepted)?)));
        let (reader, agent) = (Line(Arc::clone(&stream.0)), Arc::clone(agent));
        std::thread::spawn(move || hold(reader, stream, agent, Ending::Final));
    }
}

/// One connection for whoever reads it and whoever writes it: sockets of the hypervisor are not doubled.
struct Line(Arc<TcpStream>);

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

fn listening(port: u32) -> io::Result<OwnedSocket> {
    start()?;
    let flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    let family = c_int::from(AF_HYPERV);
    let protocol = c_int::try_from(HV_PROTOCOL_RAW).map_err(io::Error::other)?;
    // SAFETY: no protocol information is given.
    let socket =
        owned(unsafe { WSASocketW(family, SOCK_STREAM, protocol, ptr::null(), 0, flags) })?;
    let address = SOCKADDR_HV {
        Family: AF_HYPERV,
        Reserved: 0,
        VmId: HV_GUID_PARENT,
        ServiceId: GUID::from_u128(guest_proto::hypervisor_service(port)),
    };
    let length = c_int::try_from(size_of::<SOCKADDR_HV>()).map_err(io::Error::other)?;
    // SAFETY: an open socket, and an address of its family with its length.
    checked(unsafe { bind(handle(&socket)?, ptr::from_ref(&address).cast(), length) })?;
    // SAFETY: an open socket.
    checked(unsafe { listen(handle(&socket)?, BACKLOG) })?;
    Ok(socket)
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

fn owned(socket: SOCKET) -> io::Result<OwnedSocket> {
    if socket == INVALID_SOCKET {
        return Err(last_error());
    }
    let socket = RawSocket::try_from(socket).map_err(io::Error::other)?;
    // SAFETY: it was opened just now, and nobody else has it.
    Ok(unsafe { OwnedSocket::from_raw_socket(socket) })
}

fn handle(socket: &OwnedSocket) -> io::Result<SOCKET> {
    SOCKET::try_from(socket.as_raw_socket()).map_err(io::Error::other)
}

fn checked(code: c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> io::Error {
    // SAFETY: it only reads what the thread was told last.
    let code = unsafe { WSAGetLastError() };
    let error = io::Error::from_raw_os_error(code);
    if [WSAEAFNOSUPPORT, WSAEPROTONOSUPPORT, WSAESOCKTNOSUPPORT].contains(&code) {
        let what = format!("this Windows has no sockets of Hyper-V ({error})");
        return io::Error::new(io::ErrorKind::Unsupported, what);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_hypervisor_that_is_said() {
        match listening(guest_proto::HYPERVISOR_PORT) {
            // A real machine of Hyper-V.
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
                assert!(error.to_string().contains("sockets of Hyper-V"), "{error}");
            }
        }
    }
}
