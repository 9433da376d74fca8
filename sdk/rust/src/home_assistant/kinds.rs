//! A constructor for each kind of entity, with the payloads that a service publishes and decodes.

use crate::home_assistant::{Component, Entity};

/// Keys that a kind requires, and that are not an argument here, are given by [`topic`](Entity::topic),
/// [`on_command`](Entity::on_command) and [`with`](Entity::with); an entity that lacks one is not announced.
impl Entity {
    /// An alarm system; the state is `disarmed`, `armed_home`, `armed_away`, `armed_night`, `armed_vacation`,
    /// `armed_custom_bypass`, `pending`, `triggered`, `arming` or `disarming`, the command `DISARM`, `ARM_HOME`, `ARM_AWAY`,
    /// `ARM_NIGHT`, `ARM_VACATION`, `ARM_CUSTOM_BYPASS` or `TRIGGER`.
    pub fn alarm_control_panel(name: &str, state_topic: &str) -> Self {
        Self::new(Component::AlarmControlPanel, name).topic("state_topic", state_topic)
    }

    /// Something that is or is not: `1` or `0`, as a `bool` is published.
    pub fn binary_sensor(name: &str, state_topic: &str) -> Self {
        Self::new(Component::BinarySensor, name)
            .topic("state_topic", state_topic)
            .payloads("1", "0")
    }

    /// Something to press; the command is `PRESS`.
    pub fn button(name: &str) -> Self {
        Self::new(Component::Button, name).with("payload_press", "PRESS")
    }

    /// Pictures that follow one another; a message is the bytes of one, or its text in Base64 with
    /// [`with("image_encoding", "b64")`](Self::with).
    pub fn camera(name: &str, topic: &str) -> Self {
        Self::new(Component::Camera, name).topic("topic", topic)
    }

    /// Something that heats or cools; [`topic`](Self::topic) and [`on_command_at`](Self::on_command_at) give it its topics.
    pub fn climate(name: &str) -> Self {
        Self::new(Component::Climate, name)
    }

    /// A shutter, a blind, a gate; the state is `open`, `opening`, `closed`, `closing` or `stopped`, the command `OPEN`, `CLOSE` or
    /// `STOP`. A position is read from `position_topic`, and a target comes to `set_position_topic`.
    pub fn cover(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Cover, name).topic("state_topic", state_topic)
    }

    /// A day, as in `2026-11-27`. It takes Home Assistant 2026.5.
    pub fn date(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Date, name).topic("state_topic", state_topic)
    }

    /// A day and a time, as in `2026-11-27T18:30:00+01:00`. It takes Home Assistant 2026.5.
    pub fn datetime(name: &str, state_topic: &str) -> Self {
        Self::new(Component::DateTime, name).topic("state_topic", state_topic)
    }

    /// Something whose place is known; the attributes are JSON with `latitude` and `longitude`.
    pub fn device_tracker(name: &str, attributes_topic: &str) -> Self {
        Self::new(Component::DeviceTracker, name).topic("json_attributes_topic", attributes_topic)
    }

    /// Something that happens to a device, such as `button_short_press` of `button_1`, each time a message comes to `topic`;
    /// [`with("payload", ..)`](Self::with) names the only one that counts. It belongs to a device.
    pub fn device_trigger(what: &str, of: &str, topic: &str) -> Self {
        let trigger =
            Self::new(Component::DeviceTrigger, format!("{what} {of}")).topic("topic", topic);
        trigger
            .with("automation_type", "trigger")
            .with("type", what)
            .with("subtype", of)
    }

    /// Events of these types; a message is JSON with `event_type`.
    pub fn event(name: &str, state_topic: &str, types: &[&str]) -> Self {
        Self::new(Component::Event, name)
            .topic("state_topic", state_topic)
            .with("event_types", types)
    }

    /// A fan: `1` or `0`, as a `bool` is published. Speed (`percentage_..`), presets, direction and oscillation have topics of their
    /// own.
    pub fn fan(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Fan, name)
            .topic("state_topic", state_topic)
            .payloads("1", "0")
    }

    /// Something that moistens or dries: `1` or `0`, as a `bool` is published. The humidity that is wanted comes to
    /// `target_humidity_command_topic`, which it must have.
    pub fn humidifier(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Humidifier, name)
            .topic("state_topic", state_topic)
            .payloads("1", "0")
    }

    /// A picture; a message is its bytes, or its text in Base64 with [`with("image_encoding", "b64")`](Self::with).
    pub fn image(name: &str, image_topic: &str) -> Self {
        Self::new(Component::Image, name).topic("image_topic", image_topic)
    }

    /// A picture elsewhere; a message is its address.
    pub fn image_url(name: &str, url_topic: &str) -> Self {
        Self::new(Component::Image, name).topic("url_topic", url_topic)
    }

    /// A lawn mower; the activity is `mowing`, `paused`, `docked`, `returning` or `error`. Each command has a topic of its own
    /// (`start_mowing_command_topic`, `pause_command_topic`, `dock_command_topic`, `stop_command_topic`), at which its name comes.
    pub fn lawn_mower(name: &str, activity_state_topic: &str) -> Self {
        Self::new(Component::LawnMower, name).topic("activity_state_topic", activity_state_topic)
    }

    /// A light: `1` or `0`, as a `bool` is published. Brightness, colours and effects have topics of their own.
    pub fn light(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Light, name)
            .topic("state_topic", state_topic)
            .payloads("1", "0")
    }

    /// A light whose state and commands are JSON, as in `{"state": "ON", "brightness": 255}`; `brightness`,
    /// `supported_color_modes` and `effect` say what it can do.
    pub fn light_json(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Light, name)
            .topic("state_topic", state_topic)
            .with("schema", "json")
    }

    /// A light whose commands Home Assistant makes by these templates.
    pub fn light_template(name: &str, on: &str, off: &str) -> Self {
        let light = Self::new(Component::Light, name).with("schema", "template");
        light
            .with("command_on_template", on)
            .with("command_off_template", off)
    }

    /// A lock; the state is `LOCKED`, `UNLOCKED`, `LOCKING`, `UNLOCKING`, `OPEN`, `OPENING` or `JAMMED`, the command `LOCK` or
    /// `UNLOCK`, or the value of `payload_open`.
    pub fn lock(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Lock, name).topic("state_topic", state_topic)
    }

    /// Something that shows or says messages; the command is the message.
    pub fn notify(name: &str) -> Self {
        Self::new(Component::Notify, name)
    }

    /// A number between 1 and 100; [`range`](Self::range) says otherwise.
    pub fn number(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Number, name)
            .topic("state_topic", state_topic)
            .with("min", 1)
            .with("max", 100)
    }

    /// Something to activate; the command is `ON`.
    pub fn scene(name: &str) -> Self {
        Self::new(Component::Scene, name).with("payload_on", "ON")
    }

    /// One of several words.
    pub fn select(name: &str, state_topic: &str, options: &[&str]) -> Self {
        Self::new(Component::Select, name)
            .topic("state_topic", state_topic)
            .with("options", options)
    }

    /// A value that is measured.
    pub fn sensor(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Sensor, name).topic("state_topic", state_topic)
    }

    /// A siren: `1` or `0`, as a `bool` is published. A siren with tones, volume or duration gets them as JSON with
    /// [`siren_json`](Self::siren_json).
    pub fn siren(name: &str, state_topic: &str) -> Self {
        let siren = Self::new(Component::Siren, name)
            .topic("state_topic", state_topic)
            .payloads("1", "0");
        siren
            .with("command_template", "{{ value }}")
            .with("support_duration", false)
            .with("support_volume_set", false)
    }

    /// A siren whose commands are JSON, as in `{"state": "ON", "duration": 10, "volume_level": 0.5}`; `available_tones` are its
    /// tones.
    pub fn siren_json(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Siren, name).topic("state_topic", state_topic)
    }

    /// Something to switch: `1` or `0`, as a `bool` is published; [`payloads`](Self::payloads) says otherwise.
    pub fn switch(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Switch, name)
            .topic("state_topic", state_topic)
            .payloads("1", "0")
    }

    /// Something that reads tags; a message is what a tag says.
    pub fn tag(name: &str, topic: &str) -> Self {
        Self::new(Component::Tag, name).topic("topic", topic)
    }

    /// A text of up to 255 characters.
    pub fn text(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Text, name)
            .topic("state_topic", state_topic)
            .with("min", 0)
            .with("max", 255)
    }

    /// A time of the day, as in `18:30:00`. It takes Home Assistant 2026.5.
    pub fn time(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Time, name).topic("state_topic", state_topic)
    }

    /// Software that may have a newer version; the state is the installed one, or JSON with `installed_version` and
    /// `latest_version`. The command is what `payload_install` says.
    pub fn update(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Update, name).topic("state_topic", state_topic)
    }

    /// A vacuum cleaner; the state is JSON with `state` (`cleaning`, `docked`, `paused`, `idle`, `returning` or `error`), the command
    /// `start`, `stop`, `pause`, `return_to_base`, `clean_spot` or `locate`, as `supported_features` says.
    pub fn vacuum(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Vacuum, name).topic("state_topic", state_topic)
    }

    /// A valve; the state is `open`, `opening`, `closed` or `closing`, the command `OPEN`, `CLOSE`, or the value of `payload_stop`.
    pub fn valve(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Valve, name).topic("state_topic", state_topic)
    }

    /// Something that heats water; [`topic`](Self::topic) and [`on_command_at`](Self::on_command_at) give it its topics.
    pub fn water_heater(name: &str) -> Self {
        Self::new(Component::WaterHeater, name)
    }
}
