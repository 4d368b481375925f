//! Collects the characters that a page draws.

use super::{Sheet, characters, lines::Builder};
use hayro_interpret::{
    BlendMode, ClipPath, Device, DrawMode, DrawProps, Image, ImageDrawProps, SoftMask,
    font::{Glyph, GlyphRun},
    hayro_cmap::BfString,
    hayro_syntax::object::Dict,
    kurbo::{BezPath, Point},
};

/// A text that leans more than this (the tangent of its angle) but does not stand upright is a watermark.
const LEANING: f64 = 0.2;

/// Characters are this many units high in their fonts' own measure.
const EM: f64 = 1000.0;

/// A character and where it stands.
pub struct Placed {
    /// Left end of its base line.
    pub x: f64,
    /// Its base line, from the page's top.
    pub y: f64,
    /// How far it reaches to the right.
    pub width: f64,
    /// Height of its font.
    pub size: f64,
    /// What it says.
    pub text: String,
}

/// Reads one page.
#[derive(Default)]
pub struct Extractor {
    builder: Builder,
    sheet: Sheet,
    /// What is marked: whether it is no part of the text, such as a page's number.
    marks: Vec<bool>,
}

impl Extractor {
    /// What was read.
    pub fn finish(self) -> Sheet {
        Sheet { lines: self.builder.finish(), ..self.sheet }
    }

    fn draw(&mut self, glyph: &Glyph<'_>, placed: Placed) {
        let text = match glyph.as_unicode() {
            Some(BfString::Char(c)) => c.to_string(),
            Some(BfString::String(text)) => text,
            None => String::new(),
        };
        let text = characters::plain(&text);
        if text.is_empty() {
            self.sheet.unknown += 1;
        } else {
            self.sheet.known += usize::from(!text.trim().is_empty());
            self.builder.add(Placed { text, ..placed });
        }
    }
}

impl Device<'_> for Extractor {
    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, '_>, props: DrawProps<'_>, _: &DrawMode) {
        if self.marks.contains(&true) {
            return;
        }
        for glyph in run.glyphs() {
            let place = props.transform * glyph.transform();
            let advance = match &**glyph {
                Glyph::Outline(glyph) => glyph.advance_width(),
                Glyph::Type3(glyph) => glyph.advance_width(),
            };
            let advance = advance.map_or(EM / 2.0, f64::from);
            let (from, top) = (place * Point::ZERO, place * Point::new(0.0, EM));
            let (along, width) = (place * Point::new(EM, 0.0) - from, place * Point::new(advance, 0.0) - from);
            let (size, leaning) = ((top - from).hypot(), (along.y / along.x).abs());
            let finite = [from.x, from.y, size, width.x].iter().all(|number| number.is_finite());
            if finite && size > 0.0 && !(leaning > LEANING && leaning < 1.0 / LEANING) {
                let placed = Placed { x: from.x, y: from.y, width: width.x.max(0.0), size, text: String::new() };
                self.draw(glyph, placed);
            }
        }
    }

    fn begin_marked_content(&mut self, tag: &[u8], _: Option<&Dict<'_>>) {
        self.marks.push(tag == b"Artifact");
    }

    fn end_marked_content(&mut self) {
        self.marks.pop();
    }

    fn draw_image(&mut self, _: Image<'_, '_>, _: ImageDrawProps<'_>) {
        self.sheet.has_images = true;
    }

    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'_>, _: &DrawMode) {}
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'_>>, _: BlendMode) {}
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}
