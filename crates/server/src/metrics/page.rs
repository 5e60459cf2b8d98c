//! How a metric is written.

use std::fmt;

use carillon_meter::Reading;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// A part of the answer.
pub(crate) struct Page<'a>(DescriptorEncoder<'a>);

impl<'a> Page<'a> {
    /// What is written to it is answered.
    pub(crate) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    fn begin<'s>(
        &'s mut self,
        name: &'s str,
        help: &'s str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    /// Something that only grows; its name is written with `_total`.
    pub(crate) fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        ConstCounter::new(count).encode(self.begin(name, help, MetricType::Counter)?)
    }

    /// The same, by labels.
    pub(crate) fn counters<const N: usize, L: AsRef<str>>(
        &mut self,
        (name, help): (&str, &str),
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([L; N], u64)>,
    ) -> fmt::Result {
        let mut metric = self.begin(name, help, MetricType::Counter)?;
        for (values, count) in rows {
            ConstCounter::new(count).encode(metric.encode_family(&labelled(labels, &values))?)?;
        }
        Ok(())
    }

    /// Something as it is now.
    pub(crate) fn gauge<V: Value>(&mut self, name: &str, help: &str, value: V) -> fmt::Result {
        ConstGauge::new(value.into_gauge()).encode(self.begin(name, help, MetricType::Gauge)?)
    }

    /// The same, by a label.
    pub(crate) fn gauges<L: AsRef<str>, V: Value>(
        &mut self,
        (name, help): (&str, &str),
        label: &str,
        rows: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut metric = self.begin(name, help, MetricType::Gauge)?;
        for (value, gauge) in rows {
            ConstGauge::new(gauge.into_gauge()).encode(metric.encode_family(&[(label, value.as_ref())])?)?;
        }
        Ok(())
    }

    /// How values are spread.
    pub(crate) fn histogram(&mut self, name: &str, help: &str, reading: &Reading) -> fmt::Result {
        write_histogram(&mut self.begin(name, help, MetricType::Histogram)?, reading)
    }

    /// The same, by labels.
    pub(crate) fn histograms<const N: usize, L: AsRef<str>>(
        &mut self,
        (name, help): (&str, &str),
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([L; N], Reading)>,
    ) -> fmt::Result {
        let mut metric = self.begin(name, help, MetricType::Histogram)?;
        for (values, reading) in rows {
            write_histogram(&mut metric.encode_family(&labelled(labels, &values))?, &reading)?;
        }
        Ok(())
    }

    /// What something is: always 1, by labels that say it. Its name is written with `_info`.
    pub(crate) fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> fmt::Result {
        self.begin(name, help, MetricType::Info)?.encode_info(&labels)
    }
}

/// What may be the value of a gauge.
pub(crate) trait Value {
    /// As it is written.
    type Written: EncodeGaugeValue;
    /// The value.
    fn into_gauge(self) -> Self::Written;
}

impl Value for f64 {
    type Written = Self;

    fn into_gauge(self) -> Self {
        self
    }
}

impl Value for i64 {
    type Written = Self;

    fn into_gauge(self) -> Self {
        self
    }
}

impl Value for usize {
    type Written = i64;

    fn into_gauge(self) -> i64 {
        i64::try_from(self).unwrap_or(i64::MAX)
    }
}

impl Value for bool {
    type Written = i64;

    fn into_gauge(self) -> i64 {
        i64::from(self)
    }
}

fn labelled<'a, const N: usize>(
    labels: [&'a str; N],
    values: &'a [impl AsRef<str>; N],
) -> [(&'a str, &'a str); N] {
    std::array::from_fn(|at| (labels[at], values[at].as_ref()))
}

fn write_histogram(metric: &mut MetricEncoder<'_>, reading: &Reading) -> fmt::Result {
    metric.encode_histogram::<NoLabelSet>(reading.sum, reading.count(), &reading.buckets, None)
}
