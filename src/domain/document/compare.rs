//! MongoDB's total order of values.
//!
//! Source: the MongoDB manual, "Comparison/Sort Order". Numbers compare by their exact
//! mathematical value, whatever their type; a NaN, which no stored document holds, is the smallest.

use std::cmp::Ordering;

use super::{Document, Value};

impl Value {
    /// Where this value stands in the total order of all values:
    /// null < numbers < strings < objects < arrays < booleans.
    pub fn compare(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Integer(a), Self::Double(b)) => integer_to_double(*a, *b),
            (Self::Double(a), Self::Integer(b)) => integer_to_double(*b, *a).reverse(),
            (Self::Double(a), Self::Double(b)) => double_to_double(*a, *b),
            (Self::String(a), Self::String(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::Object(a), Self::Object(b)) => a.compare(b),
            (Self::Array(a), Self::Array(b)) => compare_elements(a, b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            _ => self.type_rank().cmp(&other.type_rank()),
        }
    }

    /// Whether both are the same value to a query: 1 equals 1.0, and fields must agree in order.
    pub fn equals(&self, other: &Value) -> bool {
        self.compare(other) == Ordering::Equal
    }

    /// Whether both are of types that query operators such as `$gt` compare with each other.
    pub fn is_comparable_with(&self, other: &Value) -> bool {
        self.type_rank() == other.type_rank()
    }

    /// Tells apart what [`Value::compare`] calls equal: an integer comes before the double of the
    /// same value. It lets a set of equal values be represented by the same one everywhere.
    pub(crate) fn compare_representation(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Self::Integer(_), Self::Double(_)) => Ordering::Less,
            (Self::Double(_), Self::Integer(_)) => Ordering::Greater,
            (Self::Double(a), Self::Double(b)) => a.total_cmp(b),
            (Self::Array(a), Self::Array(b)) => {
                first_difference(a.iter().zip(b).map(|(a, b)| a.compare_representation(b)))
            }
            (Self::Object(a), Self::Object(b)) => first_difference(
                a.iter().zip(b.iter()).map(|((_, a), (_, b))| a.compare_representation(b)),
            ),
            _ => Ordering::Equal,
        }
    }

    fn type_rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Integer(_) | Self::Double(_) => 1,
            Self::String(_) => 2,
            Self::Object(_) => 3,
            Self::Array(_) => 4,
            Self::Bool(_) => 5,
        }
    }
}

/// A value that sorts and is found by [`Value::compare`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ordered<'a>(pub(crate) &'a Value);

impl Ord for Ordered<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.compare(other.0)
    }
}

impl PartialOrd for Ordered<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(other.0)
    }
}

impl Eq for Ordered<'_> {}

impl Document {
    /// The total order of documents: field by field in order, each by type, then name, then value;
    /// of two documents that agree as far as one goes, the shorter comes first.
    pub fn compare(&self, other: &Document) -> Ordering {
        let fields = self.iter().zip(other.iter()).map(|((name, value), (other_name, other))| {
            let by_type = value.type_rank().cmp(&other.type_rank());
            by_type.then_with(|| name.cmp(other_name)).then_with(|| value.compare(other))
        });
        first_difference(fields).then_with(|| self.len().cmp(&other.len()))
    }
}

fn compare_elements(a: &[Value], b: &[Value]) -> Ordering {
    let elements = a.iter().zip(b).map(|(a, b)| a.compare(b));
    first_difference(elements).then_with(|| a.len().cmp(&b.len()))
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn double_to_double(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Compares without casting the integer, which would round it beyond 2^53.
fn integer_to_double(integer: i64, double: f64) -> Ordering {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() || double < -LIMIT {
        return Ordering::Greater;
    }
    if double >= LIMIT {
        return Ordering::Less;
    }
    let below = double.floor();
    let by_whole_part = integer.cmp(&(below as i64));
    by_whole_part.then(if double > below { Ordering::Less } else { Ordering::Equal })
}
