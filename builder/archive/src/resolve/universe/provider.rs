//! What the solver asks, in its own terms: names, sets of values, dependencies.

use std::any::Any;
use std::fmt::Display;

use resolvo::{
    Candidates, Condition, ConditionId, DenseIndex, Dependencies, DependencyProvider, Interner,
    KnownDependencies, NameId, SolvableId, SolverCache, StringId, VersionSetId, VersionSetUnionId,
};

use super::{Answer, Universe};

impl Interner for Universe<'_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        self.index.stanza(solvable.into_raw())
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.cache.borrow().names[name.into_raw() as usize].to_string()
    }

    fn display_version_set(&self, set: VersionSetId) -> impl Display + '_ {
        self.set_text(set).to_string()
    }

    fn display_string(&self, string: StringId) -> impl Display + '_ {
        self.cache.borrow().strings[string.to_index()].clone()
    }

    fn version_set_name(&self, set: VersionSetId) -> NameId {
        NameId::from_raw(self.cache.borrow().sets[set.to_index()].name)
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        NameId::from_raw(self.name_number(self.index.stanza(solvable.into_raw()).name()))
    }

    fn version_sets_in_union(
        &self,
        union: VersionSetUnionId,
    ) -> impl Iterator<Item = VersionSetId> {
        self.cache.borrow().unions[union.to_index()]
            .0
            .clone()
            .into_iter()
    }

    fn resolve_condition(&self, _condition: ConditionId) -> Condition {
        // No requirement here has a condition, so the solver has none to ask about.
        Condition::Requirement(VersionSetId::default())
    }
}

impl DependencyProvider for Universe<'_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let allowed = self.cache.borrow().sets[set.to_index()].allowed.clone();
        let fits = |candidate: &SolvableId| allowed.contains(&candidate.into_raw()) != inverse;
        candidates.iter().copied().filter(fits).collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates<SolvableId>> {
        let name = self.cache.borrow().names[name.into_raw() as usize].clone();
        let candidates: Vec<SolvableId> = self
            .candidates(&name)
            .iter()
            .map(|number| SolvableId::from_raw(*number))
            .collect();
        (!candidates.is_empty()).then(|| Candidates {
            candidates,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _solver: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        let mut numbers: Vec<u32> = solvables
            .iter()
            .map(|solvable| solvable.into_raw())
            .collect();
        self.sort(&mut numbers);
        let favoured = self.favoured.borrow();
        numbers.sort_by_key(|number| !favoured.contains(number));
        for (solvable, number) in solvables.iter_mut().zip(numbers) {
            *solvable = SolvableId::from_raw(number);
        }
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let stanza = self.index.stanza(solvable.into_raw());
        let mut known = KnownDependencies::default();
        for group in stanza.depends() {
            match self.requirement(group) {
                Answer::Requirement(requirement) => known.requirements.push(requirement.into()),
                Answer::LeftOut(_) => {}
                Answer::Malformed(reason) => {
                    return Dependencies::Unknown(self.string(format!("has {reason}")));
                }
            }
        }
        known.constrains = self.constraints(stanza.number());
        Dependencies::Known(known)
    }

    fn should_cancel_with_value(&self) -> Option<Box<dyn Any>> {
        None
    }
}
