use super::*;

fn code(text: &str) -> String {
    Source::new("core/x/src/a.rs", text).code
}

#[test]
fn comments_and_insides_of_literals_are_not_code() {
    assert_eq!(code("a // fn b\nc").trim_end(), "a        \nc");
    assert_eq!(code(r#"f("a \" b", 'x')"#), r#"f("______", "_")"#);
    assert_eq!(code("a /* x /* y */ z */ b"), "a                   b");
    assert_eq!(code("r#\"fn \" x\"# + r#type").len(), "r#\"fn \" x\"# + r#type".len());
    assert!(!code("r#\"fn \" x\"# + r#type").contains("fn"));
    assert!(code("br##\"a\"# b\"## + c").ends_with(" + c"));
}

#[test]
fn a_lifetime_is_no_literal_and_a_quoted_quote_is_one() {
    assert_eq!(code("fn f<'a>(x: &'a str)"), "fn f<'a>(x: &'a str)");
    assert!(code(r"m('\'', 'é', '\u{1F600}') + 'x'").contains(" + "));
    assert!(code("('\"', fn_call(\"{\"))").contains("fn_call"));
}

#[test]
fn views_have_the_length_of_the_file() {
    let text = "/// é\nfn f() { \"ü\\n\" } // ö\n";
    let source = Source::new("core/x/src/a.rs", text);
    assert_eq!(source.code.len(), text.len());
    assert_eq!(source.comments.len(), text.len());
    assert!(source.comments.contains("// ö"));
}

#[test]
fn tests_are_known_by_attribute_and_by_place() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
    let source = Source::new("core/x/src/a.rs", text);
    assert_eq!(source.production_lines(), 2);
    assert!(source.in_tests(text.find("fn b").expect("is there")));
    assert!(!source.in_tests(text.find("fn c").expect("is there")));
    assert_eq!(Source::new("core/x/tests/a.rs", text).production_lines(), 0);
    assert_eq!(Source::new("core/x/src/a/tests.rs", text).production_lines(), 0);
}

#[test]
fn code_that_is_compiled_without_tests_is_production() {
    let text = "#[cfg(not(test))]\nfn a() {}\n#[cfg(feature = \"test\")]\nfn b() {}\n";
    assert_eq!(Source::new("core/x/src/a.rs", text).production_lines(), 4);
}

#[test]
fn functions_are_found_with_parameters_and_body() {
    let text = "fn a<F: Fn(u8) -> u8>(f: F, g: [u8; 2]) -> [u8; 2] where F: Send {\n    g\n}\ntrait T { fn b(&self); }\n\
                type P = fn (u8); macro!(fn $x());";
    let source = Source::new("core/x/src/a.rs", text);
    let functions = source.functions();
    let names: Vec<_> = functions.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(&text[functions[0].parameters.clone()], "f: F, g: [u8; 2]");
    assert_eq!(&text[functions[0].body.clone().expect("has one")], "{\n    g\n}");
    assert!(functions[1].body.is_none());
}

#[test]
fn a_comment_counts_on_its_line_and_on_the_line_above() {
    let text = "// why\na\nb // why\nc\n\nd";
    let source = Source::new("core/x/src/a.rs", text);
    let near = |needle: &str| source.has_comment_near(source.code.find(needle).expect("is there"));
    assert!(near("a") && near("b") && near("c"));
    assert!(!near("d"));
}

#[test]
fn blank_lines_and_comments_are_no_code_lines() {
    let source = Source::new("core/x/src/a.rs", "a\n\n// b\nc(\"\nd\n\")\n");
    assert_eq!(source.code_lines(0..source.raw.len()), 4);
}
