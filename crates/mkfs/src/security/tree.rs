//! A tree whose entries carry the descriptors that rules and inheritance give them.
//!
//! Entries come parents first, so that the descriptor of a directory is known when what lies in it
//! comes. Kept are directories alone, each as two small numbers; descriptors and the state of the
//! patterns are kept once each.

use std::collections::HashMap;
use std::hash::Hash;

use super::descriptor::{DescriptorError, SecurityDescriptor};
use super::inherit::{Creator, assign, inherit, windows_root};
use super::rules::{AccessRules, Fold, Progress};
use crate::tree::{
    Amendment, EntryKind, NodeId, Times, TreeEntry, TreeError, TreeErrorKind, TreeSource,
    TreeTotals,
};

/// A tree with access control. What applies to an entry, the first that there is:
///
/// 1. the descriptor of the last rule that matches its path, with what it inherits;
/// 2. without a descriptor for the whole tree: its own, as the source has it;
/// 3. what it inherits from its directory.
///
/// The root has the descriptor of a rule for `/`, or that of the whole tree, or the source's, or
/// that of a volume which Windows formats. Owner and group of entries are those of the descriptor
/// for the whole tree where it names them, else the group of administrators.
pub struct AccessTree<'a> {
    source: &'a mut dyn TreeSource,
    rules: &'a AccessRules,
    /// Whether what the source says counts where no rule matches.
    keeps_own: bool,
    creator: Creator,
    fold: Fold,
    root: SecurityDescriptor,
    /// Of each directory the number of its descriptor and of its progress.
    directories: HashMap<NodeId, (u32, u32)>,
    descriptors: Numbered<SecurityDescriptor>,
    progress: Numbered<Progress>,
    /// What was computed: from the directory's descriptor, the rule, and whether it is a directory.
    made: HashMap<(u32, Option<u16>, bool), SecurityDescriptor>,
}

/// Values that are kept once, by number.
struct Numbered<T> {
    values: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// The number of a value, given now if it has none. Numbers do not run out before those of
    /// entries do.
    fn number(&mut self, value: &T) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.values.push(value.clone());
        self.numbers.insert(value.clone(), number);
        number
    }

    fn get(&self, number: u32) -> Option<&T> {
        self.values.get(usize::try_from(number).ok()?)
    }
}

impl<'a> AccessTree<'a> {
    /// The tree of `source`, with `whole` for the root and all below it where it is given, and
    /// `rules`.
    ///
    /// # Errors
    /// [`DescriptorError`] where the descriptor of the root does not fit into 64 KiB.
    pub fn new(
        source: &'a mut dyn TreeSource,
        whole: Option<&SecurityDescriptor>,
        rules: &'a AccessRules,
    ) -> Result<Self, DescriptorError> {
        let mut creator = Creator::default();
        if let Some(whole) = whole {
            let parts = whole.parts()?;
            creator.owner = parts.owner.unwrap_or(creator.owner);
            creator.group = parts.group.unwrap_or(creator.group);
        }
        let progress = rules.at_root();
        let rule = rules.matched(&progress);
        let root = match rule.and_then(|rule| rules.descriptor(rule)).or(whole) {
            Some(explicit) => assign(explicit, true, &creator)?,
            None => source.root_security().map_or_else(windows_root, Ok)?,
        };
        let mut tree = Self {
            source,
            rules,
            keeps_own: whole.is_none(),
            creator,
            fold: Fold::new(),
            root: root.clone(),
            directories: HashMap::new(),
            descriptors: Numbered::new(),
            progress: Numbered::new(),
            made: HashMap::new(),
        };
        tree.keep(NodeId::ROOT, &root, &progress);
        Ok(tree)
    }

    fn keep(&mut self, id: NodeId, descriptor: &SecurityDescriptor, progress: &Progress) {
        let descriptor = self.descriptors.number(descriptor);
        let progress = self.progress.number(progress);
        self.directories.insert(id, (descriptor, progress));
    }

    /// Gives an entry its descriptor.
    fn secure(&mut self, entry: &mut TreeEntry) -> Result<(), TreeError> {
        let is_directory = match &entry.kind {
            // One more name of what has a descriptor, and a part of it.
            EntryKind::HardLink { .. } | EntryKind::Stream(_) => return Ok(()),
            EntryKind::Directory => true,
            EntryKind::File(_) => false,
            EntryKind::Symlink { directory, .. } | EntryKind::ReparsePoint { directory, .. } => {
                *directory
            }
        };
        let fail =
            |what: String| TreeError::new(TreeErrorKind::Unreadable, entry.name.to_string(), what);
        let above = self.directories.get(&entry.parent).copied();
        let (parent, above) =
            above.ok_or_else(|| fail("its directory was not delivered before it".to_owned()))?;
        let before = self.progress.get(above).cloned().unwrap_or_default();
        let progress = self.rules.step(&before, &entry.name, &self.fold);
        let rule = self.rules.matched(&progress);
        let descriptor = match &entry.security {
            Some(own) if self.keeps_own && rule.is_none() => own.clone(),
            _ => self
                .make(parent, rule, is_directory)
                .map_err(|error| fail(error.to_string()))?,
        };
        if matches!(entry.kind, EntryKind::Directory) {
            self.keep(entry.id, &descriptor, &progress);
        }
        entry.security = Some(descriptor);
        Ok(())
    }

    fn make(
        &mut self,
        parent: u32,
        rule: Option<u16>,
        is_directory: bool,
    ) -> Result<SecurityDescriptor, DescriptorError> {
        let key = (parent, rule, is_directory);
        if let Some(made) = self.made.get(&key) {
            return Ok(made.clone());
        }
        let explicit = rule.and_then(|rule| self.rules.descriptor(rule));
        let parent = self.descriptors.get(parent).unwrap_or(&self.root);
        let made = inherit(parent, explicit, is_directory, &self.creator)?;
        self.made.insert(key, made.clone());
        Ok(made)
    }
}

impl TreeSource for AccessTree<'_> {
    fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        let Some(mut entry) = self.source.next_entry()? else {
            return Ok(None);
        };
        self.secure(&mut entry)?;
        Ok(Some(entry))
    }

    fn root_times(&self) -> Option<Times> {
        self.source.root_times()
    }

    fn root_security(&self) -> Option<SecurityDescriptor> {
        Some(self.root.clone())
    }

    fn totals(&self) -> Option<TreeTotals> {
        self.source.totals()
    }

    /// Access stays as it was given: what lies below has it from there.
    fn amendments(&mut self) -> Vec<Amendment> {
        let mut amendments = self.source.amendments();
        for amendment in &mut amendments {
            amendment.security = None;
        }
        amendments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::Preset;
    use crate::tree::NodeName;
    use crate::tree::memory::MemoryTree;

    /// `/a/`, `/a/f`, `/a/b/`, `/a/b/g`, `/l` -> a.
    fn tree() -> MemoryTree {
        let name = |text| NodeName::from_text(text).unwrap();
        let mut tree = MemoryTree::new();
        let a = tree.add_directory(NodeId::ROOT, name("a"));
        tree.add_file(a, name("f"), b"f");
        let b = tree.add_directory(a, name("b"));
        tree.add_file(b, name("g"), b"g");
        tree.add_symlink(NodeId::ROOT, name("l"), "a", true);
        tree
    }

    /// The text of the root and of each entry in turn.
    fn texts(whole: Option<&str>, rules: &str) -> Vec<String> {
        let tree = tree();
        let rules = AccessRules::parse(rules).unwrap();
        let whole = whole.map(|text| SecurityDescriptor::from_sddl_or_preset(text).unwrap());
        let mut source = tree.source();
        let mut secured = AccessTree::new(&mut source, whole.as_ref(), &rules).unwrap();
        let mut texts = vec![secured.root_security().unwrap().to_sddl().unwrap()];
        while let Some(entry) = secured.next_entry().unwrap() {
            texts.push(entry.security.unwrap().to_sddl().unwrap());
        }
        assert_eq!(secured.totals(), tree.source().totals());
        texts
    }

    #[test]
    fn without_rules_a_tree_has_what_windows_gives_it() {
        let root = windows_root().unwrap();
        let creator = Creator::default();
        let directory = inherit(&root, None, true, &creator).unwrap();
        let file = inherit(&root, None, false, &creator).unwrap();
        let [root, directory, file] = [root, directory, file].map(|sd| sd.to_sddl().unwrap());
        assert_eq!(
            texts(None, ""),
            [&root, &directory, &file, &directory, &file, &directory].map(String::clone)
        );
    }

    #[test]
    fn a_descriptor_for_the_whole_tree_goes_down_to_every_entry() {
        let whole = Preset::EveryoneRead;
        let directory = "O:BAG:SYD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;WD)";
        let file = "O:BAG:SYD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;WD)";
        assert_eq!(
            texts(Some(whole.name()), ""),
            [whole.sddl(), directory, file, directory, file, directory]
        );
    }

    #[test]
    fn rules_stand_above_the_descriptor_of_the_tree_and_below_them_it_goes_on() {
        let texts = texts(
            Some("O:SYG:SYD:AI(A;OICI;FA;;;BA)"),
            "/a D:P(A;OICI;FA;;;SY)\n/**/g O:WDD:(A;;FR;;;WD)\n/l D:(A;OICI;FA;;;AU)\n",
        );
        assert_eq!(
            texts,
            [
                "O:SYG:SYD:AI(A;OICI;FA;;;BA)",
                "O:SYG:SYD:PAI(A;OICI;FA;;;SY)",
                "O:SYG:SYD:AI(A;ID;FA;;;SY)",
                "O:SYG:SYD:AI(A;OICIID;FA;;;SY)",
                "O:WDG:SYD:AI(A;;FR;;;WD)(A;ID;FA;;;SY)",
                "O:SYG:SYD:AI(A;OICI;FA;;;AU)(A;OICIID;FA;;;BA)",
            ]
        );
    }

    /// A source whose entries all have a descriptor.
    struct Owned<S>(S);

    impl<S: TreeSource> TreeSource for Owned<S> {
        fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError> {
            let mut entry = self.0.next_entry()?;
            if let Some(entry) = &mut entry {
                let own = SecurityDescriptor::from_sddl("O:AUD:P(A;OICI;FR;;;AU)");
                entry.security = Some(own.unwrap());
            }
            Ok(entry)
        }
    }

    #[test]
    fn what_the_source_says_counts_unless_something_is_said_for_its_path_or_the_tree() {
        let own = "O:AUD:P(A;OICI;FR;;;AU)";
        let tree = tree();
        let rules = AccessRules::parse("/a/b D:P(A;OICI;FA;;;SY)\n/a/b/g inherit").unwrap();
        let whole = SecurityDescriptor::from_sddl("D:P(A;OICI;FA;;;BA)").unwrap();
        for (whole, expected) in [
            (
                None,
                [
                    own,
                    own,
                    "O:BAG:BAD:P(A;OICI;FA;;;SY)",
                    "O:BAG:BAD:(A;;FA;;;SY)",
                ],
            ),
            (
                Some(&whole),
                [
                    "O:BAG:BAD:(A;OICI;FA;;;BA)",
                    "O:BAG:BAD:(A;;FA;;;BA)",
                    "O:BAG:BAD:P(A;OICI;FA;;;SY)",
                    "O:BAG:BAD:(A;;FA;;;SY)",
                ],
            ),
        ] {
            let mut source = Owned(tree.source());
            let mut secured = AccessTree::new(&mut source, whole, &rules).unwrap();
            for expected in expected {
                let entry = secured.next_entry().unwrap().unwrap();
                assert_eq!(entry.security.unwrap().to_sddl().unwrap(), expected);
            }
        }
    }

    #[test]
    fn equal_descriptors_are_kept_once() {
        let name = |text: String| NodeName::from_text(&text).unwrap();
        let mut tree = MemoryTree::new();
        for number in 0..1000 {
            let directory = tree.add_directory(NodeId::ROOT, name(format!("d{number}")));
            tree.add_file(directory, name("f".to_owned()), b"");
        }
        let rules = AccessRules::parse("/**/*.exe administrators").unwrap();
        let mut source = tree.source();
        let mut secured = AccessTree::new(&mut source, None, &rules).unwrap();
        while secured.next_entry().unwrap().is_some() {}
        assert_eq!(secured.directories.len(), 1001);
        assert_eq!(secured.descriptors.values.len(), 2);
        assert_eq!(secured.progress.values.len(), 1);
        assert_eq!(secured.made.len(), 2);
    }
}
