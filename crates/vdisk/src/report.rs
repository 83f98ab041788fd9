//! What a check of an image found.
//!
//! Invariant: the list of findings is bounded, whatever the image holds; what goes beyond is
//! counted.

use blockio::{ByteCount, ByteOffset};

use crate::error::ImageError;
use crate::image::ImageFormat;

/// Most findings that are kept one by one.
pub const MAX_FINDINGS: usize = 1000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Space in the file that nothing uses.
    Leak,
    /// The image breaks a rule of its format.
    Error,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Section of the specification, such as `MS-VHDX 2.5.1.1`.
    pub rule: &'static str,
    /// Where in the file.
    pub offset: Option<ByteOffset>,
    /// What is the case, with the values found.
    pub message: String,
}

/// The result of a check.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// The format that was checked.
    pub format: ImageFormat,
    /// Blocks the disk is made of; 0 where the image has no blocks.
    pub total_blocks: u64,
    /// Blocks that have a place in the file.
    pub allocated_blocks: u64,
    /// Bytes in the file that nothing uses.
    pub leaked: ByteCount,
    /// Whether a log waits to be replayed.
    pub dirty_log: bool,
    findings: Vec<Finding>,
    errors: u64,
    omitted: u64,
}

impl CheckReport {
    /// A report with nothing found yet.
    pub fn new(format: ImageFormat) -> Self {
        Self {
            format,
            total_blocks: 0,
            allocated_blocks: 0,
            leaked: ByteCount(0),
            dirty_log: false,
            findings: Vec::new(),
            errors: 0,
            omitted: 0,
        }
    }

    /// Adds a finding, or counts it where the list is full.
    pub fn push(&mut self, finding: Finding) {
        if finding.severity == Severity::Error {
            self.errors = self.errors.saturating_add(1);
        }
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }

    /// Adds a broken rule.
    pub fn error(
        &mut self,
        rule: &'static str,
        offset: Option<ByteOffset>,
        message: impl Into<String>,
    ) {
        self.push(Finding {
            severity: Severity::Error,
            rule,
            offset,
            message: message.into(),
        });
    }

    /// Adds unused space and counts its bytes.
    pub fn leak(
        &mut self,
        rule: &'static str,
        offset: ByteOffset,
        bytes: ByteCount,
        message: impl Into<String>,
    ) {
        self.leaked = ByteCount(self.leaked.get().saturating_add(bytes.get()));
        self.push(Finding {
            severity: Severity::Leak,
            rule,
            offset: Some(offset),
            message: message.into(),
        });
    }

    /// Adds something worth knowing.
    pub fn note(
        &mut self,
        rule: &'static str,
        offset: Option<ByteOffset>,
        message: impl Into<String>,
    ) {
        self.push(Finding {
            severity: Severity::Note,
            rule,
            offset,
            message: message.into(),
        });
    }

    /// Takes up an error as a finding where it speaks of the image; gives it back where it is the
    /// host's failure, which says nothing about the image.
    ///
    /// # Errors
    /// The error itself, where it is neither damage, nor a missing feature, nor a wrong parent.
    pub fn absorb(&mut self, error: ImageError) -> Result<(), ImageError> {
        match error {
            ImageError::Damaged {
                rule,
                offset,
                message,
            } => {
                self.error(rule, offset, message);
                Ok(())
            }
            ImageError::Unsupported { feature } => {
                self.note("unsupported", None, feature);
                Ok(())
            }
            error @ (ImageError::ParentMismatch(_)
            | ImageError::ParentMissing { .. }
            | ImageError::ParentLoop { .. }
            | ImageError::ChainTooDeep { .. }) => {
                self.error("parent", None, error.to_string());
                Ok(())
            }
            other => Err(other),
        }
    }

    /// The findings, at most [`MAX_FINDINGS`].
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many rules were found broken, listed or not.
    pub fn error_count(&self) -> u64 {
        self.errors
    }

    /// Findings that are counted only.
    pub fn omitted(&self) -> u64 {
        self.omitted
    }

    /// Whether no rule is broken (leaks and notes allowed).
    pub fn is_sound(&self) -> bool {
        self.errors == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_full_of_errors_gives_a_bounded_list_and_the_whole_count() {
        let mut report = CheckReport::new(ImageFormat::Vhd);
        for _ in 0..MAX_FINDINGS + 5 {
            report.error("VHD BAT", None, "broken");
        }
        assert_eq!(report.findings().len(), MAX_FINDINGS);
        assert_eq!(report.omitted(), 5);
        assert_eq!(report.error_count(), 1005);
        assert!(!report.is_sound());
    }

    #[test]
    fn leaks_and_notes_leave_an_image_sound() {
        let mut report = CheckReport::new(ImageFormat::Vhdx);
        report.leak("space", ByteOffset(4096), ByteCount(512), "nothing uses it");
        report.note("log", None, "clean");
        assert!(report.is_sound());
        assert_eq!(report.leaked, ByteCount(512));
    }
}
