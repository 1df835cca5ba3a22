//! The words of make.conf, and the variables in them.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use racefetch::portage::shell_words::{Lexer, expand};
use racefetch_fuzz::with_text;

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    let words = words(text);
    let quoted: Vec<_> = words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
    assert_eq!(self::words(&quoted.join(" ")), words, "what is quoted is read as it is");

    let mut variables = BTreeMap::new();
    for word in words {
        if let Ok(value) = expand(&word, &variables) {
            assert!(value.len() <= (1 << 20) + text.len());
            variables.insert("x".to_owned(), value);
        }
    }
}));

fn words(text: &str) -> Vec<String> {
    let mut lexer = Lexer::new(text);
    let mut words = Vec::new();
    while let Ok(Some(word)) = lexer.next_word() {
        words.push(word);
    }
    assert!(lexer.line() <= text.matches('\n').count() + 1);
    words
}
