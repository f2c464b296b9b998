package main

// A scene is an OMS whose tasks all follow one scenario, and the alerts that
// must result.
type scene struct {
	name      string   // of the target, and so the instance in Prometheus
	scenarios []string // of the simulated OMS; default: the scene's name
	tasks     int      // default: 4
	want      []string // alerts that must arrive at a receiver
	may       []string // alerts that may arrive
	never     []string // of goodNews, what would be wrong here

	act   act                           // what is done to the OMS meanwhile, if anything
	check func(*rehearsal, scene) error // what else must be true at the end, if anything
}

// goodNews may arrive in every scene: some tasks are healthy for long enough.
var goodNews = []string{"OMSTaskCutoverReady", "OMSTaskCutoverReadyUnverified"}

// scenes is the rehearsal. Every scenario of the simulated OMS has a scene.
var scenes = []scene{
	{
		name: "quiet", tasks: 24,
		scenarios: []string{
			"new", "copying", "verifying", "following", "modifying", "merging", "finished", "releasing",
			"released", "deleted", "validating", "verified_apart",
		},
	},
	{
		name: "falling_behind",
		want: []string{"OMSTaskDelayHigh", "OMSTaskDelayCritical"},
		may:  []string{"OMSTaskFallingBehind", "OMSTaskAlarmingInOMS"},
	},
	{
		name: "frozen", want: []string{"OMSTaskCheckpointFrozen"},
		may: []string{
			"OMSTaskDelayHigh", "OMSTaskDelayCritical", "OMSTaskFallingBehind",
		},
	},
	{
		name: "losing_samples",
		want: []string{"OMSTaskDelaySampleStale", "OMSTaskCheckpointFrozen", "OMSTaskDelayCritical"},
		may:  []string{"OMSTaskDelayHigh", "OMSTaskFallingBehind"},
	},
	{name: "stuck_step", want: []string{"OMSTaskStepStuck"}},
	{name: "stuck_early", want: []string{"OMSTaskStepStuck"}},
	{
		name: "failing", want: []string{"OMSTaskFailed"},
		may: []string{
			"OMSTaskDelayHigh", "OMSTaskDelayCritical", "OMSTaskAlarmingInOMS", "OMSTaskFlapping",
			"OMSTaskStepFailed", "OMSTaskDelaySampleStale", "OMSTaskFallingBehind",
		},
	},
	{
		// A task that fails and is retried has failed: Flapping is for what that does not tell.
		name: "flapping", want: []string{"OMSTaskFailed"},
		may: []string{"OMSTaskFlapping", "OMSTaskStepFailed", "OMSTaskDelayHigh"},
	},
	{
		// RUNNING all the time, so only the step tells.
		name: "retried", want: []string{"OMSTaskStepFailed"},
		may: []string{
			"OMSTaskDelayHigh", "OMSTaskDelayCritical", "OMSTaskFlapping", "OMSTaskFallingBehind",
			"OMSTaskDelaySampleStale", "OMSTaskAlarmingInOMS",
		},
	},
	{
		// One of four. The others stay healthy.
		name: "failing_together", tasks: 40, want: []string{"OMSTaskFailed"}, check: fewPages,
		scenarios: []string{"failing_together", "following", "following", "following"},
		may: []string{
			"OMSTaskDelayHigh", "OMSTaskDelayCritical", "OMSTaskAlarmingInOMS", "OMSTaskStepFailed",
			"OMSTaskDelaySampleStale", "OMSTaskFallingBehind", "OMSTaskCheckpointFrozen",
		},
	},
	{
		name: "suspended", tasks: 12,
		want: []string{"OMSTaskResumeWindowClosing", "OMSTaskResumeWindowAlmostLost"},
	},
	{name: "ready", want: []string{"OMSTaskCutoverReady"}},
	{name: "switched", may: []string{"OMSTaskDelayHigh"}},
	{
		name: "alarming", want: []string{"OMSTaskAlarmingInOMS"},
		may: []string{"OMSTaskDelayHigh", "OMSTaskDelayCritical", "OMSTaskFallingBehind"},
	},
	// A late scrape is minutes of simulated time, which burn a part of the budget.
	{
		name: "synchronizing",
		may:  []string{"OMSTaskFreshnessBudgetBurnFast", "OMSTaskFreshnessBudgetBurn"},
	},
	{
		// One of three has no delay. If all had none, that would be one alert about OMS.
		name: "no_delay", tasks: 6, scenarios: []string{"no_delay", "following", "following"},
		want: []string{"OMSTaskDelayMissing"},
	},
	{
		name: "clock_skew", want: []string{"OMSTaskNegativeDelay"},
	},
	{
		name: "storm", tasks: 12, want: []string{"OMSManyTasksDelayed"}, check: onePage,
		may: []string{
			"OMSTaskDelayHigh", "OMSTaskDelayCritical", "OMSTaskFallingBehind", "OMSTaskAlarmingInOMS",
		},
	},
	{name: "verified_differs", want: []string{"OMSTaskVerifyDifferences"}, never: goodNews},
	{
		name: "verified_unknown", want: []string{"OMSTaskCutoverReadyUnverified"},
		never: []string{"OMSTaskCutoverReady"},
	},
	{
		name: "store_dead", want: []string{"OMSTaskDelayCritical"},
		check: blames("Its store is UNEXPECTED_EXIT."),
		may: []string{
			"OMSTaskDelayHigh", "OMSTaskCheckpointFrozen", "OMSTaskFallingBehind", "OMSTaskAlarmingInOMS",
		},
	},
	{
		name: "slow_apply", want: []string{"OMSTaskDelayCritical"},
		check: blames("Its incr_sync is behind."),
		may: []string{
			"OMSTaskDelayHigh", "OMSTaskFallingBehind", "OMSTaskAlarmingInOMS",
		},
	},
	{
		name: "faltering", scenarios: []string{"failing"},
		want: []string{"OMSListingsFailing", "OMSTaskFailed"},
		may: []string{
			"OMSListingsMostlyFailing", "OMSTaskDelayHigh", "OMSTaskDelayCritical",
			"OMSTaskAlarmingInOMS", "OMSTaskFlapping", "OMSTaskStepFailed",
			"OMSTaskDelaySampleStale", "OMSTaskCheckpointFrozen",
			"OMSTaskFallingBehind",
		},
		act: faltering,
	},
	{
		name: "vanished", scenarios: []string{"falling_behind"},
		want: []string{"OMSTaskDelayCritical", "OMSVanished"},
		may: []string{
			"OMSTaskDelayHigh", "OMSTaskFallingBehind", "OMSTaskAlarmingInOMS",
		},
		act: vanish,
	},
	{
		name: "emptied", scenarios: []string{"falling_behind"},
		want: []string{"OMSTaskDelayCritical", "OMSFleetShrunk"},
		may: []string{
			"OMSTaskDelayHigh", "OMSTaskFallingBehind", "OMSTaskAlarmingInOMS",
			"OMSTaskDisappeared", "OMSTroubledTaskDisappeared",
		},
		act: empty,
	},
	{
		name: "outage", scenarios: []string{"falling_behind"},
		want: []string{"OMSDown", "OMSTaskDelayCritical"},
		may: []string{
			"OMSListingsFailing", "OMSListingsMostlyFailing", "OMSTaskFallingBehind",
			"OMSTaskDelayHigh", "OMSTaskAlarmingInOMS",
		},
		act: outage,
	},
}
