//! Who may open the folder of a store on Windows, as text: the rules of a new one, and whom those of an
//! existing one let in besides. Text in, text out, so that it is tried on any system.

/// System and administrators, which a store is always for, as rules name them.
const ALWAYS: [&str; 4] = ["SY", "BA", "S-1-5-18", "S-1-5-32-544"];

/// Whoever else may stand in the rules: who makes or owns a file, administrators of Hyper-V, the service
/// that keeps Windows' own files.
const HARMLESS: [&str; 9] = [
    "CO",
    "S-1-3-0",
    "OW",
    "S-1-3-4",
    "HA",
    "S-1-5-32-578",
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
    "CG",
    "S-1-3-1",
];

/// Virtual machines, each by itself or all of them: who lets a machine open an image means it.
const MACHINES: &str = "S-1-5-83-";

/// The rules of a new store, in SDDL: inherited from nothing, and by everything in it. `user` is the one
/// who makes it and is no administrator, by his identifier.
pub(crate) fn root_rules(user: Option<&str>) -> String {
    let mut rules = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)".to_owned();
    if let Some(user) = user {
        rules.push_str(&format!("(A;OICI;FA;;;{user})"));
    }
    rules
}

/// Whom rules let in that a store is not for, in the order of the rules. `own` is whoever asks.
pub(crate) fn others_let_in(rules: &str, own: &str) -> Vec<String> {
    let Some((_, list)) = rules.split_once("D:") else {
        // Without rules there is nobody who is kept out.
        return vec!["everybody".to_owned()];
    };
    let list = list.split("S:").next().unwrap_or(list);
    if list.starts_with("NO_ACCESS_CONTROL") {
        return vec!["everybody".to_owned()];
    }
    let mut others: Vec<String> = Vec::new();
    for rule in list.split('(').skip(1) {
        let fields: Vec<&str> = rule.split(')').next().unwrap_or(rule).split(';').collect();
        let (Some(kind), Some(trustee)) = (fields.first(), fields.get(5)) else {
            continue;
        };
        // What takes something away lets nobody in.
        if !matches!(*kind, "A" | "XA" | "OA") {
            continue;
        }
        let is_trusted = ALWAYS.contains(trustee)
            || HARMLESS.contains(trustee)
            || trustee.eq_ignore_ascii_case(own)
            || trustee.starts_with(MACHINES);
        let name = named(trustee);
        if !is_trusted && !others.contains(&name) {
            others.push(name);
        }
    }
    others
}

/// The common ones by the names that people know.
fn named(trustee: &str) -> String {
    let name = match trustee {
        "WD" | "S-1-1-0" => "Everyone",
        "BU" | "S-1-5-32-545" => "Users",
        "AU" | "S-1-5-11" => "Authenticated Users",
        "IU" | "S-1-5-4" => "INTERACTIVE",
        "BG" | "S-1-5-32-546" => "Guests",
        "AN" | "S-1-5-7" => "ANONYMOUS LOGON",
        "NU" | "S-1-5-2" => "NETWORK",
        other => other,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &str = "S-1-5-21-1-2-3-1001";

    #[test]
    fn the_rules_of_a_new_store_let_nobody_else_in() {
        for rules in [root_rules(None), root_rules(Some(ANN))] {
            assert!(rules.starts_with("D:P"), "{rules}");
            assert_eq!(others_let_in(&rules, ANN), Vec::<String>::new());
        }
        // What one user made is another's to be told of.
        let rules = root_rules(Some(ANN));
        assert_eq!(others_let_in(&rules, "S-1-5-21-1-2-3-1002"), [ANN]);
    }

    #[test]
    fn whoever_else_is_let_in_is_named_once() {
        for (rules, others) in [
            // What a folder below ProgramData inherits.
            (
                "D:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;0x1200a9;;;BU)\
                 (A;CIID;DCLCRPCR;;;BU)",
                &["Users"][..],
            ),
            ("D:(A;;FA;;;WD)S:AI(ML;;NW;;;LW)", &["Everyone"]),
            ("D:(D;;FA;;;WD)(A;;FA;;;SY)", &[]),
            ("D:(A;;FR;;;S-1-5-83-1-1-2-3-4)(A;;FR;;;S-1-5-83-0)", &[]),
            (
                "D:(A;;FR;;;AU)(A;;FR;;;S-1-5-21-9-9-9-500)",
                &["Authenticated Users", "S-1-5-21-9-9-9-500"],
            ),
            ("O:BAG:SY", &["everybody"]),
            ("D:NO_ACCESS_CONTROL", &["everybody"]),
            ("D:", &[]),
            ("D:(A;;", &[]),
        ] {
            assert_eq!(others_let_in(rules, ANN), others, "{rules}");
        }
    }
}
