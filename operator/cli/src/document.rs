//! A YAML file as documents, each of which knows the line of every field.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use maru_rate::Refusal;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Options, Spanned};

use crate::problem::Problem;

/// Largest manifest file that is read.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// One document of a YAML file.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    file: Rc<PathBuf>,
    text: String,
    /// Lines of the file before this document.
    offset: u64,
    tree: Rc<Spanned<Node>>,
}

/// What every manifest says about itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Head {
    /// Such as `maru.dev/v1alpha1`.
    pub(crate) api_version: String,
    /// Such as `RateCard`.
    pub(crate) kind: String,
}

/// A document as a tree of places; values are of no interest here.
#[derive(Debug)]
enum Node {
    Map(Vec<(String, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    Leaf,
}

impl Document {
    /// The documents of a file, without empty ones.
    pub(crate) fn read(file: &Path) -> Result<Vec<Self>, Problem> {
        let size = std::fs::metadata(file).map_err(|error| Problem::of(file, error))?.len();
        if size > MOST_BYTES {
            return Err(Problem::of(
                file,
                format!("has {size} bytes: allowed are manifests of up to {MOST_BYTES} bytes"),
            ));
        }
        let bytes = std::fs::read(file).map_err(|error| Problem::of(file, error))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.split(|byte| *byte == b'\n').count() as u64;
            Problem::at(file, line, "is not UTF-8 text: allowed are YAML manifests in UTF-8")
        })?;
        let name = Rc::new(file.to_owned());
        let mut documents = Vec::new();
        for (offset, text) in parts(&text) {
            if text
                .lines()
                .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
            {
                continue;
            }
            let tree = serde_saphyr::from_str_with_options::<Spanned<Node>>(&text, options())
                .map_err(|error| yaml_problem(file, offset, &error))?;
            documents.push(Self {
                file: name.clone(),
                text,
                offset,
                tree: Rc::new(tree),
            });
        }
        Ok(documents)
    }

    /// Its kind and version.
    pub(crate) fn head(&self) -> Result<Head, Problem> {
        self.part()
    }

    /// The part of the object that `T` names; the rest is not looked at.
    pub(crate) fn part<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_saphyr::from_str_with_options(&self.text, options())
            .map_err(|error| yaml_problem(&self.file, self.offset, &error))
    }

    /// The object that it describes. A field that the kind does not have is refused.
    pub(crate) fn object<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let mut unknown = None;
        let object = serde_saphyr::with_deserializer_from_str_with_options(&self.text, options(), |deserializer| {
            serde_ignored::deserialize(deserializer, |path| {
                let field = field_path(&path);
                // The kinds' types leave these two to the head.
                if unknown.is_none() && field != "apiVersion" && field != "kind" {
                    unknown = Some(field);
                }
            })
        });
        let object = object.map_err(|error| yaml_problem(&self.file, self.offset, &error))?;
        match unknown {
            None => Ok(object),
            Some(field) => Err(self.refuse(&Refusal::new(
                &field,
                "is not a field of this kind: allowed are the fields that `kubectl explain` lists",
            ))),
        }
    }

    /// A refusal of a field of this document, with its line.
    pub(crate) fn refuse(&self, refusal: &Refusal) -> Problem {
        Problem::at(&self.file, self.line(&refusal.field), refusal)
    }

    /// A refusal of the document as a whole.
    pub(crate) fn refuse_whole(&self, message: impl std::fmt::Display) -> Problem {
        Problem::at(&self.file, self.line(""), message)
    }

    /// The line of a field, or of the nearest one around it.
    fn line(&self, field: &str) -> u64 {
        let mut here = self.tree.as_ref();
        for step in steps(field) {
            let next = match &here.value {
                Node::Map(entries) => entries.iter().find(|(key, _)| *key == step).map(|(_, node)| node),
                Node::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
                Node::Leaf => None,
            };
            match next {
                Some(next) => here = next,
                None => break,
            }
        }
        self.offset + here.referenced.line()
    }
}

/// Strings are strings only in quotes where they would read as something else, as the API server has it.
fn options() -> Options {
    serde_saphyr::options! { with_snippet: false, no_schema: true }
}

fn yaml_problem(file: &Path, offset: u64, error: &serde_saphyr::Error) -> Problem {
    let line = error.location().map_or(0, |location| offset + location.line());
    let text = error.to_string();
    // The message names the line too, counted from the document's start; the problem has the file's.
    let message = text.split(" at line ").next().unwrap_or(&text);
    Problem::at(file, line, with_what_is_allowed(message))
}

/// What the reader of YAML says, in words of people who write it and not of those who read it.
fn with_what_is_allowed(message: &str) -> String {
    let helps = ["allowed", "expected", "missing field", "must be"];
    match message {
        null if null.starts_with("cannot deserialize null") => {
            "has no value: allowed is one, or to leave the field out".to_owned()
        }
        "invalid i32" | "invalid i64" | "invalid u32" | "invalid u64" => {
            "is not a whole number: allowed are digits".to_owned()
        }
        clear if helps.iter().any(|word| clear.contains(word)) => clear.to_owned(),
        other => format!("{other}; allowed is YAML as `kubectl explain` describes it"),
    }
}

/// The documents of a YAML text with the number of lines before each. A line that begins with three dashes begins a document,
/// wherever it stands: YAML allows it nowhere else.
fn parts(text: &str) -> Vec<(u64, String)> {
    let mut parts = vec![(0, String::new())];
    for (number, line) in (1u64..).zip(text.split_inclusive('\n')) {
        let rest = line
            .strip_prefix("---")
            .filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        match (rest, parts.last_mut()) {
            (Some(rest), _) => parts.push((number - 1, format!("   {rest}"))),
            (None, Some((_, part))) => part.push_str(line),
            (None, None) => {}
        }
    }
    parts
}

/// `spec.versions[0].items` as its steps.
fn steps(field: &str) -> impl Iterator<Item = &str> {
    field.split(['.', '[']).map(|step| step.trim_end_matches(']'))
}

fn field_path(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    let join = |parent: &Path<'_>, key: &str| match field_path(parent) {
        parent if parent.is_empty() => key.to_owned(),
        parent => format!("{parent}.{key}"),
    };
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", field_path(parent)),
        Path::Map { parent, key } => join(parent, key),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => field_path(parent),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

macro_rules! leaf {
    ($($method:ident($type:ty)),*) => {$(
        fn $method<E>(self, _: $type) -> Result<Node, E> {
            Ok(Node::Leaf)
        }
    )*};
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("YAML")
    }

    #[allow(clippy::disallowed_types, reason = "the value of a leaf is not looked at")]
    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    leaf!(
        visit_bool(bool),
        visit_i64(i64),
        visit_i128(i128),
        visit_u64(u64),
        visit_u128(u128),
        visit_str(&str)
    );

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((key, map.next_value()?));
        }
        Ok(Node::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, data: A) -> Result<Node, A::Error> {
        let (_, _) = data.variant::<IgnoredAny>()?;
        Ok(Node::Leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_begin_at_three_dashes_and_know_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("two.yaml");
        std::fs::write(
            &file,
            "# nothing\n---\nkind: A\n--- # more\nkind: B\nspec:\n  list:\n  - a: 1\n  - b: 2\n    c: 3\n",
        )
        .unwrap();
        let documents = Document::read(&file).unwrap();
        assert_eq!(
            documents.iter().map(|d| d.head().unwrap().kind).collect::<Vec<_>>(),
            ["A", "B"]
        );
        let line = |field| documents[1].line(field);
        assert_eq!(
            (
                line("spec.list[1].c"),
                line("spec.list[0].a"),
                line("spec.list[7]"),
                line("nowhere")
            ),
            (10, 8, 8, 5)
        );
    }
}
