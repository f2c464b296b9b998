package collector

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// A Room bounds how many tasks are in memory for answers that are made or sent at the same
// time. An answer takes one place for every [TasksPerPlace] tasks, but at most half of
// all places, so that there is always room for two. A nil Room has no bound.
type Room struct {
	places int64
	free   *semaphore.Weighted
}

// TasksPerPlace is how many tasks fit into one place of a [Room].
const TasksPerPlace = 500

// NewRoom returns a room with a number of places. With 0 it has no bound.
func NewRoom(places int) *Room {
	if places == 0 {
		return nil
	}
	return &Room{places: int64(places), free: semaphore.NewWeighted(int64(places))}
}

// Enter waits for enough places for an answer with so many tasks. The caller must give
// them back with leave. If there are enough, it takes them even if ctx has ended.
func (r *Room) Enter(ctx context.Context, tasks int) (leave func(), err error) {
	if r == nil {
		return func() {}, nil
	}
	needed := max(min(int64(tasks-1)/TasksPerPlace+1, r.places/2), 1)
	if !r.free.TryAcquire(needed) {
		if err := r.free.Acquire(ctx, needed); err != nil {
			return func() {}, err
		}
	}
	return func() { r.free.Release(needed) }, nil
}
