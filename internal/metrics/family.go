// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/xfwd/xfwd/internal/figures"
)

// Family is a metric with all its series.
type Family struct {
	Name, Help string
	// Type is counter, gauge or histogram.
	Type   string
	Labels []string

	desc *prometheus.Desc
	kind prometheus.ValueType
	// own: a collector of its own sends it.
	own bool
}

// families are all metrics, in the order in which they are declared.
var families []*Family

// Families returns all metrics.
func Families() []*Family { return families }

func counter(name, help string, labels ...string) *Family {
	return newFamily(prometheus.CounterValue, "counter", name, help, labels)
}

func gauge(name, help string, labels ...string) *Family {
	return newFamily(prometheus.GaugeValue, "gauge", name, help, labels)
}

func newFamily(kind prometheus.ValueType, typeName, name, help string, labels []string) *Family {
	name = "xfwd_" + name
	f := &Family{
		Name: name, Help: help, Type: typeName, Labels: labels,
		desc: prometheus.NewDesc(name, help, labels, nil),
		kind: kind,
	}
	families = append(families, f)
	return f
}

// ownCounter is a counter of this program, which begins anew with it.
func ownCounter(name, help string, labels ...string) *Family {
	f := counter(name, help, labels...)
	f.own = true
	return f
}

// nativeHistogram is one that the kernel counts.
func nativeHistogram(name, help string, labels ...string) *Family {
	return newFamily(prometheus.UntypedValue, "histogram", name, help, labels)
}

// histogram is one of this program.
func histogram(name, help string) *Family {
	f := newFamily(prometheus.UntypedValue, "histogram", name, help, nil)
	f.own = true
	return f
}

// vector are the counters of a family of this program.
func (f *Family) vector() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.Name, Help: f.Help}, f.Labels)
}

// put sends one series. Names of devices may be any bytes, those of labels not, which
// people read in terminals, too.
func (f *Family) put(to chan<- prometheus.Metric, value float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(f.desc, f.kind, value, printable(labels)...)
}

func printable(labels []string) []string {
	for i := range labels {
		labels[i] = figures.Printable(labels[i])
	}
	return labels
}

// truth is the value of a gauge that says yes or no.
func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
