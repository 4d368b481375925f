//! What programs that make PDFs write in the place of everyday characters.

use unicode_normalization::UnicodeNormalization;

/// Chinese radicals as they stand in the block of radicals, and the characters of the same shape.
const RADICALS: &str = "⺠民⺟母⻁虎⻄西⻅见⻆角⻉贝⻋车⻓长⻔门⻘青⻙韦⻚页⻛风⻜飞⻝食⻢马⻣骨⻤鬼⻥鱼⻦鸟⻧卤⻨麦⻩黄⻪黾⻬齐⻮齿⻰龙⻳龟⺻聿⺼月⻑長⻒镸⻗雨⻞食⻡首⻯竜⻲亀⻫斉⻭歯⻨麦";

/// `text` in everyday characters: whole letters instead of ligatures, characters instead of radicals, no controls.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{2f00}'..='\u{2fdf}' | '\u{fb00}'..='\u{fb06}' => plain.extend(std::iter::once(c).nfkc()),
            '\u{2e80}'..='\u{2eff}' => plain.push(character(c)),
            '\u{a0}' | '\t' | '\n' | '\r' => plain.push(' '),
            '\u{ad}' => plain.push('\u{ad}'),
            // Private characters are bullets of symbol fonts.
            '\u{f0b7}' | '\u{f0a7}' | '\u{f06c}' | '\u{f06e}' | '\u{f0d8}' => plain.push('•'),
            '\u{e000}'..='\u{f8ff}' | '\u{fffd}' | '\u{fffe}' | '\u{feff}' | '\u{200b}' => {}
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

fn character(radical: char) -> char {
    let mut all = RADICALS.chars();
    while let (Some(key), Some(value)) = (all.next(), all.next()) {
        if key == radical {
            return value;
        }
    }
    radical
}

#[cfg(test)]
mod tests {
    #[test]
    fn radicals_and_ligatures_become_characters() {
        assert_eq!(super::plain("⾃⽇⽆⻬⻚ﬁrst，\u{f0b7}"), "自日无齐页first，•");
    }
}
