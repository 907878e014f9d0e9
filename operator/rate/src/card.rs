//! Reading a `RateCard` into a [`PriceBook`]: every text becomes a number, a moment or a currency, or is refused by its field.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use maru_crds::{PriceItem, PriceTier, PriceVersion, PricingModel, RateCardSpec, RoundingAt, RoundingMode};
use maru_meter::{Exact, Rounding};

use crate::book::{Item, Percentage, Price, PriceBook, Rounded, Tier, Version};
use crate::currency::Currency;
use crate::period::read_zone;
use crate::refusal::Refusal;

/// Reads a rate card. Errors name the field, with its path from the manifest's root, and what is allowed.
pub fn read(card: &RateCardSpec) -> Result<PriceBook, Refusal> {
    let currency = Currency::read("spec.currency", &card.currency)?;
    let zone = read_zone("spec.timeZone", &card.time_zone)?;
    let mut versions: Vec<Version> = Vec::new();
    for (index, version) in card.versions.iter().enumerate() {
        let field = format!("spec.versions[{index}]");
        let version = read_version(&field, version, currency)?;
        if versions.last().is_some_and(|before| before.from >= version.from) {
            return Err(Refusal::new(
                format!("{field}.from"),
                "is not after the version before it: allowed are versions in the order of time",
            ));
        }
        versions.push(version);
    }
    if versions.is_empty() {
        return Err(Refusal::new(
            "spec.versions",
            "is empty: allowed is at least one version",
        ));
    }
    Ok(PriceBook {
        currency,
        zone,
        rounded: match card.rounding.at {
            RoundingAt::Line => Rounded::Line,
            RoundingAt::Bill => Rounded::Bill,
        },
        mode: match card.rounding.mode {
            RoundingMode::HalfUp => Rounding::HalfUp,
            RoundingMode::HalfEven => Rounding::HalfEven,
            RoundingMode::Down => Rounding::Down,
            RoundingMode::Up => Rounding::Up,
        },
        exchange: read_exchange(card, currency)?,
        taxes: read_taxes(card)?,
        versions,
    })
}

fn read_exchange(card: &RateCardSpec, own: Currency) -> Result<BTreeMap<Currency, Vec<(Timestamp, Exact)>>, Refusal> {
    let mut exchange: BTreeMap<Currency, Vec<(Timestamp, Exact)>> = BTreeMap::new();
    for (index, rate) in card.exchange_rates.iter().enumerate() {
        let field = format!("spec.exchangeRates[{index}]");
        let currency = Currency::read(&format!("{field}.currency"), &rate.currency)?;
        if currency == own {
            return Err(Refusal::new(
                format!("{field}.currency"),
                format!("is the card's own, {own}: allowed are other currencies"),
            ));
        }
        let value = positive(&format!("{field}.rate"), &rate.rate)?;
        insert(
            &field,
            exchange.entry(currency).or_default(),
            moment(&format!("{field}.from"), &rate.from)?,
            value,
        )?;
    }
    Ok(exchange)
}

fn read_taxes(card: &RateCardSpec) -> Result<BTreeMap<String, Vec<(Timestamp, Exact)>>, Refusal> {
    let mut taxes: BTreeMap<String, Vec<(Timestamp, Exact)>> = BTreeMap::new();
    for (index, tax) in card.taxes.iter().enumerate() {
        let field = format!("spec.taxes[{index}]");
        let rate = share(&format!("{field}.rate"), &tax.rate)?;
        insert(
            &field,
            taxes.entry(tax.name.clone()).or_default(),
            moment(&format!("{field}.from"), &tax.from)?,
            rate,
        )?;
    }
    Ok(taxes)
}

/// Keeps rates in the order of time, whatever order they are written in.
fn insert(field: &str, rates: &mut Vec<(Timestamp, Exact)>, from: Timestamp, rate: Exact) -> Result<(), Refusal> {
    match rates.binary_search_by_key(&from, |(from, _)| *from) {
        Ok(_) => Err(Refusal::new(
            format!("{field}.from"),
            "is there twice: allowed is one rate from a moment on",
        )),
        Err(place) => {
            rates.insert(place, (from, rate));
            Ok(())
        }
    }
}

fn read_version(field: &str, version: &PriceVersion, own: Currency) -> Result<Version, Refusal> {
    let mut items = BTreeMap::new();
    let mut percentages = Vec::new();
    let mut keys = BTreeSet::new();
    for (index, item) in version.items.iter().enumerate() {
        let field = format!("{field}.items[{index}]");
        if let Some(key) = item.key().filter(|key| !keys.insert((*key).to_owned())) {
            return Err(Refusal::new(
                field,
                format!("`{key}` is there twice: allowed is one item of a name"),
            ));
        }
        if item.model == PricingModel::Percentage {
            percentages.push(read_percentage(&field, item)?);
            continue;
        }
        let meter = needed(&format!("{field}.meter"), item.meter.as_ref())?.clone();
        if items.insert(meter.clone(), read_item(&field, item, own)?).is_some() {
            return Err(Refusal::new(
                format!("{field}.meter"),
                format!("`{meter}` is priced twice: allowed is one item a meter"),
            ));
        }
    }
    for (index, item) in version.items.iter().enumerate() {
        if let Some(meter) = item.of.iter().find(|meter| !items.contains_key(*meter)) {
            let field = format!("{field}.items[{index}].of");
            return Err(Refusal::new(
                field,
                format!("`{meter}` has no item in this version: allowed are meters that are priced here"),
            ));
        }
    }
    Ok(Version {
        from: moment(&format!("{field}.from"), &version.from)?,
        items,
        percentages,
        minimum_charge: amount(&format!("{field}.minimumCharge"), &version.minimum_charge)?,
    })
}

fn read_percentage(field: &str, item: &PriceItem) -> Result<Percentage, Refusal> {
    if item.of.is_empty() {
        return Err(Refusal::new(
            format!("{field}.of"),
            "is empty: allowed is at least one meter of this version",
        ));
    }
    let mut of = item.of.clone();
    of.sort();
    of.dedup();
    Ok(Percentage {
        name: needed(&format!("{field}.name"), item.name.as_ref())?.as_str().into(),
        of,
        rate: amount(
            &format!("{field}.rate"),
            needed(&format!("{field}.rate"), item.rate.as_ref())?,
        )?,
    })
}

fn read_item(field: &str, item: &PriceItem, own: Currency) -> Result<Item, Refusal> {
    let at = |name: &str| format!("{field}.{name}");
    let included = || {
        item.included
            .as_ref()
            .map_or(Ok(Exact::ZERO), |text| amount(&at("included"), text))
    };
    let price = match item.model {
        PricingModel::PerUnit => Price::PerUnit {
            unit_price: amount(&at("unitPrice"), needed(&at("unitPrice"), item.unit_price.as_ref())?)?,
            included: included()?,
        },
        PricingModel::Graduated => Price::Graduated(read_tiers(field, &item.tiers)?),
        PricingModel::Volume => Price::Volume(read_tiers(field, &item.tiers)?),
        PricingModel::Package => Price::Package {
            size: positive(
                &at("packageSize"),
                needed(&at("packageSize"), item.package_size.as_ref())?,
            )?,
            price: amount(
                &at("packagePrice"),
                needed(&at("packagePrice"), item.package_price.as_ref())?,
            )?,
            included: included()?,
        },
        PricingModel::Percentage => return Err(Refusal::new(at("model"), "is Percentage, which prices no meter")),
    };
    let currency = item
        .currency
        .as_ref()
        .map(|code| Currency::read(&at("currency"), code))
        .transpose()?;
    Ok(Item {
        unit: needed(&at("unit"), item.unit.as_ref())?.as_str().into(),
        price,
        currency: currency.filter(|currency| *currency != own),
        increment: item
            .increment
            .as_ref()
            .map(|text| positive(&at("increment"), text))
            .transpose()?,
    })
}

fn read_tiers(field: &str, tiers: &[PriceTier]) -> Result<Vec<Tier>, Refusal> {
    let mut read: Vec<Tier> = Vec::new();
    for (index, tier) in tiers.iter().enumerate() {
        let field = format!("{field}.tiers[{index}]");
        let bound = format!("{field}.upTo");
        let up_to = tier.up_to.as_ref().map(|text| positive(&bound, text)).transpose()?;
        let last = index + 1 == tiers.len();
        if up_to.is_none() != last {
            return Err(Refusal::new(
                bound,
                "allowed is a bound on every tier but the last, and none on the last",
            ));
        }
        let before = read.last().and_then(|tier| tier.up_to.as_ref());
        if let (Some(before), Some(own)) = (before, &up_to)
            && own <= before
        {
            return Err(Refusal::new(
                bound,
                format!("{own} is not above the tier before it, {before}: allowed are bounds that rise"),
            ));
        }
        read.push(Tier {
            up_to,
            unit_price: amount(&format!("{field}.unitPrice"), &tier.unit_price)?,
            flat_fee: amount(&format!("{field}.flatFee"), &tier.flat_fee)?,
        });
    }
    if read.is_empty() {
        return Err(Refusal::new(
            format!("{field}.tiers"),
            "is empty: allowed is at least one tier",
        ));
    }
    Ok(read)
}

fn needed<'a, T>(field: &str, value: Option<&'a T>) -> Result<&'a T, Refusal> {
    value.ok_or_else(|| Refusal::new(field, "is missing: this pricing model needs it"))
}

/// A moment, RFC 3339 with an offset.
pub(crate) fn moment(field: &str, text: &str) -> Result<Timestamp, Refusal> {
    text.parse().map_err(|_| {
        Refusal::new(
            field,
            format!("`{text}` is not a moment: allowed is RFC 3339 with an offset, such as 2026-01-01T00:00:00+09:00"),
        )
    })
}

/// A number of zero or more.
pub(crate) fn amount(field: &str, text: &str) -> Result<Exact, Refusal> {
    let number: Exact = text.parse().map_err(|error| Refusal::new(field, error))?;
    if number.is_negative() {
        return Err(Refusal::new(
            field,
            format!("{number} is negative: allowed is 0 or more"),
        ));
    }
    Ok(number)
}

/// A number above zero.
pub(crate) fn positive(field: &str, text: &str) -> Result<Exact, Refusal> {
    let number = amount(field, text)?;
    if number.is_zero() {
        return Err(Refusal::new(field, "is 0: allowed is more than 0"));
    }
    Ok(number)
}

/// A number from zero to one.
pub(crate) fn share(field: &str, text: &str) -> Result<Exact, Refusal> {
    let number = amount(field, text)?;
    if number > Exact::ONE {
        return Err(Refusal::new(
            field,
            format!("{number} is more than the whole: allowed is 0 to 1, such as \"0.1\" for 10 %"),
        ));
    }
    Ok(number)
}
