package trial

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"griddle/imagestore/multicast/testbed"
)

// runs is how often each point is measured; its median counts.
const runs = 3

// point measures one, as often as that.
func point(b *testing.B, o Options, times int) []Result {
	b.Helper()
	o.Child, o.Dir = child(), b.TempDir()
	var all []Result
	for range times {
		r, err := Run(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// median is of what f says of each run; a run in which not everybody got the file counts as the worst.
func median[T cmp.Ordered](all []Result, f func(Result) T) T {
	var v []T
	for _, r := range all {
		v = append(v, f(r))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func seconds(all []Result) float64 {
	return median(all, func(r Result) float64 {
		switch {
		case !r.Whole():
			return r.Options.Limit.Seconds()
		case r.Session > 0:
			return r.Session.Seconds()
		}
		return r.Total.Seconds()
	})
}

// BenchmarkMulticast brings a file of incompressible bytes to N receivers of one link, by Griddle, udpcast, uftp and
// HTTP. It prints, of each, the median of three runs: seconds until the last receiver has it, bytes that left the
// sender by those of the file, and processor time of a receiver. Griddle's seconds begin with the first datagram of
// data, the others' with the sender's start, as they gather within it; of-ideal is Griddle's time by
// file/rate/(1-loss). The file takes three seconds at the rate.
func BenchmarkMulticast(b *testing.B) {
	for _, link := range []int64{100_000_000, 200_000_000} {
		for _, n := range []int{1, 4, 8} {
			for _, w := range []struct {
				name string
				wire testbed.Wire
			}{{"0%", testbed.Wire{}}, {"1%", testbed.Wire{Loss: 0.01}}, {"5%", testbed.Wire{Loss: 0.05}},
				{"bursts", testbed.Wire{Burst: 60, Every: 4000}}} {
				b.Run(fmt.Sprintf("link=%dM/N=%d/loss=%s", link/1e6, n, w.name), func(b *testing.B) {
					for range b.N {
						o := Options{Receivers: n, Link: link, Size: link / 8 * 3, Wire: w.wire, Limit: time.Minute}
						for _, tool := range []string{"griddle", "udpcast", "uftp", "http"} {
							o.Tool = tool
							times := runs
							if tool == "http" {
								times = 1 // N times the file, whatever happens
							}
							all := point(b, o, times)
							b.ReportMetric(seconds(all), tool+"-s")
							b.ReportMetric(median(all, Result.Overhead), tool+"-bytes")
							b.ReportMetric(median(all, func(r Result) float64 {
								return r.Receiver.Seconds()
							}), tool+"-cpu")
							if tool == "griddle" {
								b.ReportMetric(seconds(all)/all[0].Ideal().Seconds(), "of-ideal")
							}
						}
					}
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}

// BenchmarkMulticastImage brings a file as long as an image to four receivers of which each loses 1 %, and prints a
// receiver's processor time by that of udpcast's. Griddle's has in it the tables of its code, a quarter of a second
// once in a program.
func BenchmarkMulticastImage(b *testing.B) {
	for range b.N {
		o := Options{Receivers: 4, Link: 200_000_000, Size: 256 << 20, Wire: testbed.Wire{Loss: 0.01},
			Limit: 2 * time.Minute}
		cpu := map[string]float64{}
		for _, tool := range []string{"griddle", "udpcast"} {
			o.Tool = tool
			all := point(b, o, runs)
			cpu[tool] = median(all, func(r Result) float64 { return r.Receiver.Seconds() })
			b.ReportMetric(cpu[tool], tool+"-cpu")
			b.ReportMetric(seconds(all), tool+"-s")
		}
		b.ReportMetric(cpu["griddle"]/cpu["udpcast"], "cpu-of-udpcast")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMulticastRoom brings a file to one receiver and to 32 on a link of 30 Mbit/s, where two processors are not
// the limit. It prints the seconds of each tool, and those for 32 by those for one. The file takes five seconds.
func BenchmarkMulticastRoom(b *testing.B) {
	for range b.N {
		for _, tool := range []string{"griddle", "udpcast", "uftp"} {
			o := Options{Tool: tool, Link: 30_000_000, Size: 30_000_000 / 8 * 5, Limit: 2 * time.Minute}
			times := runs
			if tool != "griddle" {
				times = 1
			}
			took := map[int]float64{}
			for _, o.Receivers = range []int{1, 32} {
				took[o.Receivers] = seconds(point(b, o, times))
				b.ReportMetric(took[o.Receivers], fmt.Sprintf("%s-%d-s", tool, o.Receivers))
			}
			b.ReportMetric(took[32]/took[1], tool+"-32-of-1")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMulticastLate has the last of four receivers start when half of the file's time has passed.
func BenchmarkMulticastLate(b *testing.B) {
	for range b.N {
		o := Options{Tool: "griddle", Receivers: 4, Size: 75 << 20, Limit: time.Minute, Spool: true}
		alone := seconds(point(b, o, runs))
		o.Late = 0.5
		all := point(b, o, runs)
		ideal := all[0].Ideal().Seconds()
		b.ReportMetric(median(all, func(r Result) float64 { return r.Each[3].Data.Seconds() })/ideal, "late-of-ideal")
		b.ReportMetric(median(all, func(r Result) float64 {
			return max(r.Each[0].Data, r.Each[1].Data, r.Each[2].Data).Seconds()
		})/alone, "others-of-theirs")
	}
}

// BenchmarkMulticastSlow gives the last of four receivers a port of a fifth of the rate.
func BenchmarkMulticastSlow(b *testing.B) {
	for range b.N {
		o := Options{Tool: "griddle", Receivers: 4, Size: 75 << 20, Limit: 2 * time.Minute}
		alone := seconds(point(b, o, runs))
		o.Slow = o.Link / 5
		if o.Slow == 0 {
			o.Slow = 20_000_000
		}
		all := point(b, o, runs)
		b.ReportMetric(median(all, func(r Result) float64 {
			return max(r.Each[0].Data, r.Each[1].Data, r.Each[2].Data).Seconds()
		})/alone, "others-of-theirs")
		b.ReportMetric(median(all, func(r Result) float64 { return r.Each[3].Data.Seconds() }), "slow-s")
	}
}
