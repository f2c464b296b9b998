package main

import (
	"slices"
	"testing"

	"oms_exporter/deploy"
	"oms_exporter/omsclient/omssim"
)

func TestEveryScenarioHasAScene(t *testing.T) {
	played := map[string]bool{}
	for _, s := range scenes {
		for _, name := range s.scenarios {
			played[name] = true
		}
		if len(s.scenarios) == 0 {
			played[s.name] = true
		}
	}
	for _, s := range omssim.ScenarioDocs() {
		if !played[s.Name] {
			t.Errorf("no scene has the scenario %s: add it to scenes.go", s.Name)
		}
		delete(played, s.Name)
	}
	for name := range played {
		t.Errorf("there is no scenario %s", name)
	}
}

func TestScenesExpectAlertsThatExist(t *testing.T) {
	rules, err := deploy.Rules()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenes {
		for _, alert := range slices.Concat(s.want, s.may, s.never) {
			if !slices.ContainsFunc(rules, func(r deploy.Rule) bool { return r.Alert == alert }) {
				t.Errorf("%s: there is no alert %s", s.name, alert)
			}
		}
	}
}
