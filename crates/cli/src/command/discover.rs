//! `cvol discover`: the shares of an SMB server, or the servers of the local network.

use std::time::Duration;

use engine::{ListShares, NEARBY_LIMIT, NearbyServer, ServerShare};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::output::Form;
use crate::output::table::{self, Align, Column};
use crate::password::PasswordArguments;

/// The longest time that is waited for servers, in seconds.
const MAX_SECONDS: u64 = 60;

/// List the shares of an SMB server, or the servers of the local network
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a server, those are listed that answer on the local network within a few seconds (mDNS, _smb._tcp).
They say themselves who they are: what is listed is a hint, not a proof.

With a server, it is logged in there, signed and encrypted; guests are not used. `smbclient` of Samba does it,
and has to be installed; from Windows, shares are not listed yet.

Examples:
  cvol discover
  cvol discover --seconds 10 --json
  cvol discover //nas --username ann
  cvol discover //nas:1445 --username CORP\\\\ann --password-file nas-password")]
pub(crate) struct Arguments {
    /// The server, such as //nas, nas or //nas:1445
    #[arg(value_name = "SERVER")]
    server: Option<String>,

    /// Who logs in, such as ann or CORP\ann
    #[arg(short, long, value_name = "NAME", requires = "server")]
    username: Option<String>,

    /// The domain or workgroup of the user
    #[arg(long, value_name = "NAME", requires = "username")]
    domain: Option<String>,

    #[command(flatten)]
    password: PasswordArguments,

    /// How long servers may take to answer
    #[arg(long, value_name = "N", conflicts_with = "server",
          value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    seconds: Option<u64>,
}

#[derive(Serialize)]
struct ShareDocument {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    comment: String,
}

#[derive(Serialize)]
struct ServerDocument {
    name: String,
    host: String,
    port: u16,
    addresses: Vec<String>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let Some(server) = self.server else {
            let limit = self.seconds.map_or(NEARBY_LIMIT, Duration::from_secs);
            let found = context.engine.nearby_servers(limit)?;
            print_servers(context, &found)?;
            return Ok(Outcome::Done);
        };
        let Some(user) = self.username else {
            return Err(Failure::usage(
                "a server is not asked as a guest",
                "say who logs in with `--username NAME`",
            ));
        };
        let prompt = format!("password of {user} at {server}: ");
        let password = self.password.read(&prompt, false)?;
        let found = context.engine.list_shares(&ListShares {
            server,
            user,
            domain: self.domain,
            password,
        })?;
        print_shares(context, &found)?;
        Ok(Outcome::Done)
    }
}

fn print_shares(context: &Context, found: &[ServerShare]) -> std::result::Result<(), Failure> {
    match context.output.form() {
        Form::Json => {
            let documents = found.iter().map(|share| ShareDocument {
                name: share.name.clone(),
                kind: share.kind.as_str(),
                comment: share.comment.clone(),
            });
            context.output.print_json(&documents.collect::<Vec<_>>())
        }
        Form::Quiet => {
            let names = found.iter().map(|share| share.name.as_str());
            context.output.print(&lines(names))
        }
        Form::Text => {
            const COLUMNS: [Column; 3] = [
                ("NAME", Align::Left),
                ("TYPE", Align::Left),
                ("COMMENT", Align::Left),
            ];
            let rows = found.iter().map(|share| {
                let kind = share.kind.as_str().to_owned();
                vec![share.name.clone(), kind, share.comment.clone()]
            });
            context.output.print(&table::render(&COLUMNS, rows))
        }
    }
}

fn print_servers(context: &Context, found: &[NearbyServer]) -> std::result::Result<(), Failure> {
    match context.output.form() {
        Form::Json => {
            let documents = found.iter().map(|server| ServerDocument {
                name: server.name.clone(),
                host: server.host.clone(),
                port: server.port,
                addresses: server.addresses.clone(),
            });
            context.output.print_json(&documents.collect::<Vec<_>>())
        }
        Form::Quiet => {
            let hosts = found.iter().map(|server| server.host.as_str());
            context.output.print(&lines(hosts))
        }
        Form::Text => {
            const COLUMNS: [Column; 4] = [
                ("NAME", Align::Left),
                ("HOST", Align::Left),
                ("PORT", Align::Right),
                ("ADDRESSES", Align::Left),
            ];
            let rows = found.iter().map(|server| {
                vec![
                    server.name.clone(),
                    server.host.clone(),
                    server.port.to_string(),
                    server.addresses.join(", "),
                ]
            });
            context.output.print(&table::render(&COLUMNS, rows))?;
            if found.is_empty() {
                let note = "no server answered; many do not announce themselves: name one, such as \
                            `cvol discover //SERVER --username NAME`";
                context.output.note(note);
            }
            Ok(())
        }
    }
}

/// Names a line each, safe to look at.
fn lines<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names
        .map(|name| format!("{}\n", crate::output::name_for_stdout(name)))
        .collect()
}
