//! One statement for many: what several decisions ask at the same time with the same text is asked once, with arrays.
//!
//! A text is rewritten by its shape alone, once, when it is prepared; values are bound as ever. What fits no shape is run
//! as it is, one by one.

use tokio_postgres::types::Type;

/// How the answers of a statement that was asked for many are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rows, each with the number of its asker first.
    Rows,
    /// Rows that were inserted: one for each asker, or else it is not known whose is missing.
    Inserted,
    /// Rows that were changed: the number of the asker of each.
    Changed,
}

/// Rewrites a statement to be run for many; the types are those of its values.
pub(crate) fn grouped(sql: &str, types: &[Type]) -> Option<(String, Kind)> {
    if types.is_empty() {
        return None;
    }
    let from = source(types);
    let sql = sql.trim();
    if sql.starts_with("SELECT ") && !sql.contains(" FOR ") {
        let inner = bound(sql);
        return Some((format!("SELECT v.i, q.* FROM {from} CROSS JOIN LATERAL ({inner}) AS q"), Kind::Rows));
    }
    if sql.starts_with("INSERT ") {
        let (head, list, tail) = parted(sql)?;
        let list = bound(list);
        return Some((format!("{head} SELECT {list} FROM {from} ORDER BY v.i {tail}"), Kind::Inserted));
    }
    if sql.starts_with("UPDATE ") {
        let place = sql.find("WHERE ")?;
        let is = |word: &str, part: &str| part.split_whitespace().any(|other| other == word);
        if is("FROM", &sql[..place]) || is("RETURNING", &sql[place..]) {
            return None;
        }
        let (set, condition) = (bound(&sql[..place]), bound(&sql[place..]));
        return Some((format!("{set} FROM {from} {condition} RETURNING v.i"), Kind::Changed));
    }
    None
}

/// `unnest($1::bytea[], $2::int8[]) WITH ORDINALITY AS v (c1, c2, i)`
fn source(types: &[Type]) -> String {
    let arrays: Vec<String> =
        types.iter().enumerate().map(|(n, ty)| format!("${}::{}[]", n + 1, ty.name())).collect();
    let columns: Vec<String> = (1..=types.len()).map(|n| format!("c{n}")).collect();
    format!("unnest({}) WITH ORDINALITY AS v ({}, i)", arrays.join(", "), columns.join(", "))
}

/// The values of a statement, as columns of that source.
fn bound(sql: &str) -> String {
    sql.replace('?', "v.c")
}

/// An `INSERT` before, within and after its one list of values.
fn parted(sql: &str) -> Option<(&str, &str, &str)> {
    let (head, rest) = sql.split_once("VALUES (")?;
    let mut depth = 1;
    let end = rest.char_indices().find_map(|(place, c)| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        (depth == 0).then_some(place)
    })?;
    let (list, tail) = (&rest[..end], &rest[end + 1..]);
    let plain = !tail.contains('?') && !tail.trim_start().starts_with(',');
    plain.then_some((head, list, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [Type; 2] = [Type::BYTEA, Type::INT8];
    const SOURCE: &str = "unnest($1::bytea[], $2::int8[]) WITH ORDINALITY AS v (c1, c2, i)";

    #[test]
    fn each_shape_is_asked_for_many() {
        let expected = format!(
            "SELECT v.i, q.* FROM {SOURCE} CROSS JOIN LATERAL (SELECT a FROM t WHERE k = v.c1 LIMIT v.c2) AS q"
        );
        assert_eq!(grouped("SELECT a FROM t WHERE k = ?1 LIMIT ?2", &TWO), Some((expected, Kind::Rows)));
        let expected = format!(
            "INSERT INTO t (k, n)  SELECT v.c1, f(v.c2, (1)) FROM {SOURCE} ORDER BY v.i  ON CONFLICT DO NOTHING"
        );
        let insert = "INSERT INTO t (k, n) VALUES (?1, f(?2, (1))) ON CONFLICT DO NOTHING";
        assert_eq!(grouped(insert, &TWO), Some((expected, Kind::Inserted)));
        let expected = format!("UPDATE t SET n = v.c2  FROM {SOURCE} WHERE k = v.c1 RETURNING v.i");
        assert_eq!(grouped("UPDATE t SET n = ?2 WHERE k = ?1", &TWO), Some((expected, Kind::Changed)));
    }

    #[test]
    fn what_fits_no_shape_is_left_alone() {
        for sql in [
            "DELETE FROM t WHERE k = ?1 AND n < ?2",
            "UPDATE t SET n = ?2 FROM u WHERE t.k = u.k AND u.k = ?1",
            "UPDATE t SET n = ?2 WHERE k = ?1 RETURNING n",
            "SELECT n FROM t WHERE k = ?1 AND n = ?2 FOR SHARE",
            "INSERT INTO t (k, n) SELECT ?1, n FROM t WHERE n = ?2",
            "INSERT INTO t (k, n) VALUES (?1, 1) ON CONFLICT (k) DO UPDATE SET n = ?2",
            "INSERT INTO t (k, n) VALUES (?1, 1), (?1, ?2)",
        ] {
            assert_eq!(grouped(sql, &TWO), None, "{sql}");
        }
        assert_eq!(grouped("SELECT id FROM tenants", &[]), None);
    }
}
