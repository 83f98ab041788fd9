//! `cvol serve`: the disk in a volume or an image for other programs, over NBD.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use engine::{ImageFormat, ImageReference, ServeEndpoint, ServeImage, ServedImage, ServerEvent};
use serde::Serialize;

use super::{Context, Outcome, Result, values};
use crate::interrupt;
use crate::output::{Form, terminal};
use crate::reference::ImageOrVolume;

/// Serve the disk in a volume or an image file to other programs, over NBD
#[derive(Debug, clap::Args)]
#[command(after_help = "\
QEMU, libnbd, fio and the Linux kernel use the disk by the address that is printed. It is served until
Ctrl-C (or SIGTERM), then all changes are made durable. While it is served for writing nobody else can
use the volume; with --read-only, others may read it too.

Clients of this machine alone are served, without login or encryption: a socket file is for its owner
alone, a port for every user of this machine. A client's flush is durable when it is answered; what
was not flushed may be lost if cvol is killed.

Without --socket and --port: the socket file NAME.sock in this folder (on Windows: a free port).

The argument is a path if it holds a separator, ends in .vhdx, .vhd, .avhdx, .avhd, .raw, .img or
.qcow2, or names a file that exists here; else it is a volume. --image and --volume decide
otherwise.

Examples:
  cvol serve data --socket /run/data.sock
  cvol serve disk.vhdx --read-only --port 10809
  qemu-img convert 'nbd+unix:///?socket=/run/data.sock' copy.qcow2")]
pub(crate) struct Arguments {
    /// Image file, or name of a volume
    #[arg(value_name = "FILE|NAME")]
    subject: OsString,

    #[command(flatten)]
    which: ImageOrVolume,

    /// Format of an image file [default: found out]
    #[arg(short, long, value_name = "FORMAT", value_parser = values::image_format())]
    format: Option<ImageFormat>,

    /// Refuse every change
    #[arg(short, long)]
    read_only: bool,

    /// Listen at this socket file, made for its owner alone
    #[arg(short, long, value_name = "PATH", conflicts_with = "port")]
    socket: Option<PathBuf>,

    /// Listen at this port of the loopback interface; 0 for one that is free
    #[arg(short, long, value_name = "PORT")]
    port: Option<u16>,

    /// Name of the export [default: none is needed]
    #[arg(
        short = 'x',
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    export_name: String,

    /// Clients at once
    #[arg(short = 'e', long, value_name = "COUNT", default_value = "16",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,

    /// End when the last client has left
    #[arg(long)]
    once: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    image: &'a str,
    uri: &'a str,
    export: &'a str,
    read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let image = self.which.resolve(&self.subject)?;
        let name = image.to_string();
        let request = ServeImage {
            endpoint: self.endpoint(&image),
            image,
            format: self.format,
            read_only: self.read_only,
            export: self.export_name,
            connections: usize::from(self.connections),
            once: self.once,
        };
        let (export, read_only) = (request.export.clone(), request.read_only);
        let served = context.engine.serve(request)?;
        let stop = served.stop_handle();
        interrupt::when_requested(move || stop.stop());
        announce(context, &served, &name, &export, read_only)?;
        let output = context.output;
        served.run(&|event| {
            if output.is_verbose() {
                output.note(&in_words(&event));
            }
        })?;
        Ok(Outcome::Done)
    }

    fn endpoint(&self, image: &ImageReference) -> ServeEndpoint {
        let port = |port| ServeEndpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        match (&self.socket, self.port) {
            (Some(path), _) => ServeEndpoint::Unix(path.clone()),
            (None, Some(number)) => port(number),
            (None, None) if cfg!(windows) => port(0),
            (None, None) => ServeEndpoint::Unix(default_socket(image)),
        }
    }
}

/// `NAME.sock` in this folder.
fn default_socket(image: &ImageReference) -> PathBuf {
    let name = match image {
        ImageReference::Volume(name) => name.into(),
        ImageReference::File(path) => path.file_name().unwrap_or_default().to_owned(),
    };
    let mut file = name;
    file.push(".sock");
    PathBuf::from(file)
}

/// Says where clients connect, before the first can.
fn announce(
    context: &Context,
    served: &ServedImage,
    name: &str,
    export: &str,
    read_only: bool,
) -> std::result::Result<(), crate::failure::Failure> {
    let uri = served.uri();
    let (socket, address) = match served.endpoint() {
        ServeEndpoint::Unix(path) => (Some(path.display().to_string()), None),
        ServeEndpoint::Tcp(address) => (None, Some(address.to_string())),
    };
    match context.output.form() {
        Form::Json => context.output.print_json(&Document {
            image: name,
            uri: &uri,
            export,
            read_only,
            socket,
            address,
        }),
        Form::Quiet => context.output.print_name(&uri),
        Form::Text => {
            let how = if read_only { " (read-only)" } else { "" };
            let name = terminal::escape(name);
            context.output.print(&format!(
                "{name}{how} at {}\nCtrl-C ends it\n",
                terminal::escape(&uri)
            ))
        }
    }
}

fn in_words(event: &ServerEvent) -> String {
    match event {
        ServerEvent::Connected => "a client came".to_owned(),
        ServerEvent::Disconnected(None) => "a client left".to_owned(),
        ServerEvent::Disconnected(Some(reason)) => format!("a client is gone: {reason}"),
        _ => "a client was turned away: there are as many as may be".to_owned(),
    }
}
