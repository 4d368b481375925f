//! Documents on disk.

use anyhow::Context;
use protocol::DocumentFormat;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// Longest name that a gateway takes, in bytes.
const MAX_NAME: usize = 200;
/// Stands between the folders of a name: gateways take no slashes, and no file's name has it.
pub const SEPARATOR: &str = " › ";
const ENDINGS: &str = ".md, .txt, .html, .pdf, .docx, FAQ .csv, FAQ .jsonl";

/// A document that lies on disk.
#[derive(Debug)]
pub struct DocumentFile {
    /// Where.
    pub path: PathBuf,
    /// Its path below the folder that was given, which decides the document's id.
    pub name: String,
    /// How it is written.
    pub format: DocumentFormat,
}

/// Every document among `paths`, folders searched to the bottom, by path.
///
/// A folder's README is about the folder, not part of it, and so are the questions of an evaluation. Hidden files and folders
/// behind symbolic links are left out. Two documents of one name would replace each other, so that is an error.
pub fn documents(paths: &[PathBuf]) -> anyhow::Result<Vec<DocumentFile>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            search(path, path, &mut found)?;
        } else {
            anyhow::ensure!(path.is_file(), "{}: no such file or folder", path.display());
            let file = document(path.parent().unwrap_or(Path::new("")), path);
            found.push(file.with_context(|| format!("{}: expected one of {ENDINGS}", path.display()))?);
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let first = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
    anyhow::ensure!(!found.is_empty(), "no documents ({ENDINGS}) in {first}");
    let mut names = HashMap::new();
    for file in &found {
        if let Some(other) = names.insert(&file.name, &file.path).filter(|other| **other != file.path) {
            let (one, two) = (other.display(), file.path.display());
            anyhow::bail!("{one} and {two} have one name and would replace each other; rename one");
        }
    }
    Ok(found)
}

fn search(root: &Path, folder: &Path, found: &mut Vec<DocumentFile>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            search(root, &path, found)?;
        } else if path.is_file() && !is_aside(&path) {
            found.extend(document(root, &path));
        }
    }
    Ok(())
}

fn is_aside(path: &Path) -> bool {
    let is_readme = path.file_stem().is_some_and(|stem| stem.eq_ignore_ascii_case("readme"));
    is_readme || path.file_name().is_some_and(|name| crate::eval::FILES.iter().any(|file| name == *file))
}

fn document(root: &Path, path: &Path) -> Option<DocumentFile> {
    let format = format_of(path.file_name()?.to_str()?)?;
    let parts: Option<Vec<&str>> = path.strip_prefix(root).ok()?.iter().map(|part| part.to_str()).collect();
    Some(DocumentFile { path: path.to_path_buf(), format, name: fitting(&parts?.join(SEPARATOR)) })
}

/// `name` as a gateway takes it: without slashes and control characters, and with a hash in the place of its beginning if it
/// is too long.
pub fn fitting(name: &str) -> String {
    let plain = |c: char| if c.is_control() || c == '/' || c == '\\' { '_' } else { c };
    let name: String = name.chars().map(plain).collect();
    if name.len() <= MAX_NAME {
        return name;
    }
    let hash: String = Sha256::digest(name.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let tail = &name[name.ceil_char_boundary(name.len() - (MAX_NAME - hash.len() - "… ".len()))..];
    format!("{hash}… {tail}")
}

/// The format that a file name's ending tells; `None`: not a document.
pub fn format_of(name: &str) -> Option<DocumentFormat> {
    match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "md" | "markdown" => Some(DocumentFormat::Markdown),
        "txt" => Some(DocumentFormat::Text),
        "html" | "htm" | "xhtml" => Some(DocumentFormat::Html),
        "pdf" => Some(DocumentFormat::Pdf),
        "docx" => Some(DocumentFormat::Docx),
        "csv" => Some(DocumentFormat::FaqCsv),
        "jsonl" => Some(DocumentFormat::FaqJsonl),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn names(paths: &[PathBuf]) -> anyhow::Result<Vec<String>> {
        Ok(documents(paths)?.into_iter().map(|file| file.name).collect())
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sub/.hidden")).unwrap();
        files.iter().for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
        folder
    }

    #[test]
    fn a_folder_is_searched_without_what_is_no_document_of_it() {
        let folder = folder(&[
            "a.md",
            "README.md",
            "questions.jsonl",
            "unanswerable.jsonl",
            "sub/a.md",
            "sub/c.exe",
            "sub/.hidden/d.md",
            ".e.md",
        ]);
        symlink(folder.path(), folder.path().join("sub/up")).unwrap();
        assert_eq!(names(&[folder.path().into()]).unwrap(), ["a.md", "sub › a.md"]);
        assert_eq!(names(&[folder.path().join("README.md")]).unwrap(), ["README.md"], "named, it is meant");
        assert!(names(&[folder.path().join("sub/c.exe")]).unwrap_err().to_string().contains("expected one of .md"));
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let folder = folder(&["a.md", "sub/a.md"]);
        let both = [folder.path().join("a.md"), folder.path().join("sub/a.md")];
        assert!(names(&both).unwrap_err().to_string().contains("one name"));
    }

    #[test]
    fn long_names_keep_their_end_and_stay_apart() {
        let (one, two) = (fitting(&format!("1{}.md", "字".repeat(90))), fitting(&format!("2{}.md", "字".repeat(90))));
        assert!(one.len() <= 200 && one.ends_with("字.md") && one != two, "{one}");
        assert_eq!(fitting("a/b\n.md"), "a_b_.md");
    }
}
