package omssim

import "time"

// Speedup returns a clock that starts at now() and then runs factor times as fast
// as now. A factor of 1 changes nothing, and 0 stops the clock.
func Speedup(now func() time.Time, factor float64) func() time.Time {
	start := now()
	return func() time.Time {
		return start.Add(time.Duration(float64(now().Sub(start)) * factor))
	}
}

// samplePeriod is the number of seconds between two samples of a checkpoint. The
// state of the fleet only changes at multiples of it.
const samplePeriod = 10

// sampleBefore returns when OMS last took samples, in Unix seconds.
func sampleBefore(now time.Time) int64 {
	return now.Unix() / samplePeriod * samplePeriod
}
