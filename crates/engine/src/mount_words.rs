//! A mount in words: `type=bind,source=/srv,target=/data,readonly`, as `docker run --mount` has it.
//!
//! Fields are parted by commas; one that holds a comma stands in double quotes as a whole, in which
//! two double quotes mean one. Every error names the column, from 1.

/// The longest mount that is read, in bytes.
const MAX_LENGTH: usize = 64 * 1024;

/// What can be mounted.
pub(crate) const KINDS: [&str; 5] = ["volume", "vhd", "bind", "smb", "tmpfs"];

/// A mount, word by word; which of them fit together is judged by whoever uses them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MountWords {
    /// One of [`KINDS`].
    pub(crate) kind: String,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) read_only: bool,
    /// Whether a directory of the host is made where it is missing.
    pub(crate) create: bool,
    pub(crate) size: Option<String>,
    pub(crate) file_system: Option<String>,
    pub(crate) share_name: Option<String>,
    pub(crate) user: Option<String>,
    /// The file with the password of the user, or `-` for standard input.
    pub(crate) password_file: Option<String>,
    /// The volume whose user and password log in.
    pub(crate) secret: Option<String>,
}

/// What is wrong with a mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {reason}")]
pub struct WordError {
    column: usize,
    reason: String,
}

fn wrong(column: usize, reason: impl Into<String>) -> WordError {
    WordError {
        column,
        reason: reason.into(),
    }
}

/// A field and the column that it starts in.
type FieldAt = (usize, String);

impl MountWords {
    pub(crate) fn parse(text: &str) -> Result<Self, WordError> {
        if text.len() > MAX_LENGTH {
            return Err(wrong(1, "the mount is too long"));
        }
        let mut words = Self::default();
        let mut seen: Vec<&'static str> = Vec::new();
        for (column, field) in fields(text)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value)),
                None => (field.clone(), None),
            };
            let known = words.set(column, &key, value)?;
            if seen.contains(&known) {
                return Err(wrong(column, format!("{known} stands there twice")));
            }
            seen.push(known);
        }
        words.check(text, &seen)?;
        Ok(words)
    }

    /// What is mounted, for people: its kind and source.
    pub(crate) fn told(&self) -> String {
        match self.source.is_empty() {
            true => self.kind.clone(),
            false => format!("{}:{}", self.kind, self.source),
        }
    }

    /// Takes one field; its name as it is known here.
    fn set(
        &mut self,
        column: usize,
        key: &str,
        value: Option<&str>,
    ) -> Result<&'static str, WordError> {
        let text = |name: &str| match value {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(wrong(column, format!("{name} needs a value"))),
        };
        let flag = |name: &str| match value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(wrong(column, format!("{name} is true or false"))),
        };
        Ok(match key {
            "type" => {
                let kind = text("type")?;
                if !KINDS.contains(&kind.as_str()) {
                    let known = KINDS.join(", ");
                    return Err(wrong(column, format!("type {kind:?} is none of {known}")));
                }
                self.kind = kind;
                "type"
            }
            "source" | "src" => {
                self.source = text("source")?;
                "source"
            }
            "target" | "dst" | "destination" => {
                self.target = text("target")?;
                "target"
            }
            "readonly" | "ro" => {
                self.read_only = flag("readonly")?;
                "readonly"
            }
            "create" => {
                self.create = flag("create")?;
                "create"
            }
            // Shares always bring what is mounted below them; taken so that mounts of others work.
            "recursive" | "rbind" => {
                flag("recursive")?;
                "recursive"
            }
            "size" | "tmpfs-size" => {
                self.size = Some(text("size")?);
                "size"
            }
            "fs" => {
                self.file_system = Some(text("fs")?);
                "fs"
            }
            "share_name" => {
                self.share_name = Some(text("share_name")?);
                "share_name"
            }
            "username" => {
                self.user = Some(text("username")?);
                "username"
            }
            "password-file" => {
                self.password_file = Some(text("password-file")?);
                "password-file"
            }
            "secret" => {
                self.secret = Some(text("secret")?);
                "secret"
            }
            "password" => {
                let reason = "a password never stands in a mount: say `password-file=FILE` or \
                              `secret=VOLUME`";
                return Err(wrong(column, reason));
            }
            _ => return Err(wrong(column, format!("{key:?} is not known"))),
        })
    }

    /// Which words a kind needs, and which it cannot have.
    fn check(&mut self, text: &str, seen: &[&'static str]) -> Result<(), WordError> {
        let end = text.chars().count() + 1;
        if self.kind.is_empty() {
            self.kind = "volume".to_owned();
        }
        if self.target.is_empty() {
            return Err(wrong(end, "target is missing"));
        }
        let is_temporary = self.kind == "tmpfs";
        if self.source.is_empty() != is_temporary {
            let reason = if is_temporary {
                "tmpfs has no source"
            } else {
                "source is missing"
            };
            return Err(wrong(end, reason));
        }
        for (word, kinds) in [
            ("create", &["bind"][..]),
            ("recursive", &["bind"]),
            ("share_name", &["bind"]),
            ("size", &["tmpfs"]),
            ("fs", &["vhd"]),
            ("username", &["smb"]),
            ("password-file", &["smb"]),
            ("secret", &["smb"]),
        ] {
            if seen.contains(&word) && !kinds.contains(&self.kind.as_str()) {
                return Err(wrong(
                    end,
                    format!("{word} means nothing for {}", self.kind),
                ));
            }
        }
        match (&self.user, &self.password_file, &self.secret) {
            (None, Some(_), _) => Err(wrong(end, "password-file needs a username")),
            (_, Some(_), Some(_)) => Err(wrong(end, "password-file and secret are two passwords")),
            _ => Ok(()),
        }
    }
}

/// The fields of a mount, quotes taken off.
fn fields(text: &str) -> Result<Vec<FieldAt>, WordError> {
    let characters: Vec<char> = text.chars().collect();
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let column = at + 1;
        let mut field = String::new();
        if characters.get(at) == Some(&'"') {
            at += 1;
            loop {
                match (characters.get(at), characters.get(at + 1)) {
                    (Some('"'), Some('"')) => {
                        field.push('"');
                        at += 2;
                    }
                    (Some('"'), None | Some(',')) => {
                        at += 1;
                        break;
                    }
                    (Some('"'), Some(_)) => {
                        return Err(wrong(at + 2, "a comma has to follow the closing quote"));
                    }
                    (Some(other), _) => {
                        field.push(*other);
                        at += 1;
                    }
                    (None, _) => return Err(wrong(column, "the quote is never closed")),
                }
            }
        } else {
            while let Some(&other) = characters.get(at).filter(|other| **other != ',') {
                field.push(other);
                at += 1;
            }
        }
        if field.is_empty() {
            return Err(wrong(column, "a field is empty"));
        }
        fields.push((column, field));
        if at >= characters.len() {
            return Ok(fields);
        }
        // The comma.
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_as_docker_writes_it() {
        let words = MountWords::parse("type=bind,src=/srv,dst=/data,readonly,create=true").unwrap();
        assert_eq!(
            words,
            MountWords {
                kind: "bind".to_owned(),
                source: "/srv".to_owned(),
                target: "/data".to_owned(),
                read_only: true,
                create: true,
                ..MountWords::default()
            }
        );
        let quoted = MountWords::parse(r#""source=a,""b""",target=C:\x"#).unwrap();
        assert_eq!(
            (quoted.source.as_str(), quoted.kind.as_str()),
            (r#"a,"b""#, "volume")
        );
    }

    #[test]
    fn errors_name_the_column() {
        for (text, column, words) in [
            ("", 1, "empty"),
            ("source=a,,target=/x", 10, "empty"),
            ("source=a,target=/x,", 20, "empty"),
            ("source=a,colour=red,target=/x", 10, "not known"),
            ("type=nfs,source=a,target=/x", 1, "none of volume"),
            ("source=a,source=b,target=/x", 10, "twice"),
            ("source=a,src=b,target=/x", 10, "twice"),
            ("source=,target=/x", 1, "needs a value"),
            ("source=a", 9, "target is missing"),
            ("target=/x", 10, "source is missing"),
            ("type=tmpfs,source=a,target=/x", 30, "no source"),
            ("source=a,target=/x,readonly=maybe", 20, "true or false"),
            ("source=a,target=/x,size=1G", 27, "means nothing"),
            (
                "type=smb,source=//s/d,target=/x,password=p",
                33,
                "never stands",
            ),
            (
                "type=smb,source=//s/d,target=/x,password-file=-",
                48,
                "needs a username",
            ),
            (
                "type=smb,source=//s/d,target=/x,username=u,password-file=-,secret=v",
                68,
                "two passwords",
            ),
            ("source=a,target=/x,secret=v", 28, "means nothing"),
            ("\"source=a,target=/x", 1, "never closed"),
            ("\"source=a\"x,target=/x", 11, "comma"),
        ] {
            let error = MountWords::parse(text).unwrap_err();
            assert_eq!(error.column, column, "{text}: {error}");
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }
}
