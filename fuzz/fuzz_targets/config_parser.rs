//! Files of sections and options.

#![no_main]

use libfuzzer_sys::fuzz_target;
use racefetch::portage::config_parser::{ConfigParser, LineError};
use racefetch_fuzz::with_text;

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    let mut parser = ConfigParser::default();
    let errors = parser.read(text);
    let lines = text.lines().count();
    for error in &errors {
        let (LineError::Syntax(line)
        | LineError::RepeatedSection { line, .. }
        | LineError::RepeatedOption { line, .. }) = error;
        assert!((1..=lines).contains(line));
    }
    for section in parser.sections() {
        for option in ["location", "priority", "a", "b"] {
            if let Ok(Some(value)) = parser.get(section, option) {
                assert!(value.len() <= text.len().max(1 << 16));
            }
        }
    }
    // Comments and blank lines say nothing.
    let commented: String = text.lines().map(|line| format!("# x\n\n{line}\n")).collect();
    let mut again = ConfigParser::default();
    assert_eq!(again.read(&commented).len(), errors.len());
    assert_eq!(again, parser);
}));
