package omssim

import "time"

// Speedup returns a clock that starts at now() and from there runs factor times
// as fast as now does. A factor of 1 changes nothing, 0 stops the clock.
func Speedup(now func() time.Time, factor float64) func() time.Time {
	start := now()
	return func() time.Time {
		return start.Add(time.Duration(float64(now().Sub(start)) * factor))
	}
}

// samplePeriod is how often OMS samples checkpoints, in seconds. The state of the
// fleet changes at multiples of it only.
const samplePeriod = 10

// sampleBefore returns the last instant, in Unix seconds, at which OMS took samples.
func sampleBefore(now time.Time) int64 {
	return now.Unix() / samplePeriod * samplePeriod
}
